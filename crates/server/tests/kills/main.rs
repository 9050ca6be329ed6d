//! Kills: customers upload, push, stop and revoke, devices come and go, and the server is killed with SIGKILL at moments of every
//! kind, again and again, also while it starts. What it has answered is there and whole afterwards, what it has not
//! answered is there and whole or not at all, no file is left that no package owns, and every device ends with each
//! push once by its id.
//!
//! `PIGEONLOFT_KILLS` says how often it is killed. `PIGEONLOFT_KILLS_SEED` repeats what the customers do and which
//! moments are looked for (each run prints its seed); what the server is doing at such a moment differs each time.

mod check;
mod customer;
mod gate;
mod halts;
mod ledger;
mod moment;
mod repeats;
mod rows;
mod settle;
mod tally;
mod world;

use world::World;

/// Kills of a test run that asks for no other number.
const KILLS: u64 = 15;

/// After so many kills everything is let come to its end, and all of it is looked at.
const KILLS_A_ROUND: u64 = 5;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text}, not a number")))
}

#[test]
fn whenever_the_server_is_killed_nothing_answered_is_lost_and_nothing_comes_twice() {
    let kills = number("PIGEONLOFT_KILLS").unwrap_or(KILLS);
    let seed = number("PIGEONLOFT_KILLS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("PIGEONLOFT_KILLS={kills} PIGEONLOFT_KILLS_SEED={seed}");
    let mut world = World::new(seed);
    while world.tally.kills < kills {
        world.round(KILLS_A_ROUND.min(kills - world.tally.kills));
    }
    world.last_look();
    println!("{}", world.tally);
    world.tally.assert_spread();
}
