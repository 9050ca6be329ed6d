//! `pigeonloft`, the binary.

fn main() -> std::process::ExitCode {
    pigeonloft_server::cli::main()
}
