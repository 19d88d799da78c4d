//! Arguments in, one command run, exit code out.

fn main() -> pcapsy::cli::Exit {
    pcapsy::cli::run()
}
