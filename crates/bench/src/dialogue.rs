//! Dialogue: a script commands a program by lines on its standard input, and reads a line of JSON for each.

use std::io::{BufRead, Write, stdin, stdout};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Writes a line of JSON.
///
/// # Errors
/// Nobody reads it.
pub(crate) fn say(line: &Value) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Answers each line `WORD NUMBER` until there are no more: the script is done.
///
/// # Errors
/// A line is something else, or the answer's.
pub(crate) fn answer(word: &str, mut answer: impl FnMut(u64) -> Result<Value>) -> Result<()> {
    for line in stdin().lock().lines() {
        let line = line?;
        let Some(number) = line.strip_prefix(word) else { bail!("not \"{word} NUMBER\": {line:?}") };
        let number = number.trim().parse().with_context(|| format!("not \"{word} NUMBER\": {line:?}"))?;
        say(&answer(number)?)?;
    }
    Ok(())
}
