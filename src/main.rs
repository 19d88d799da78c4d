//! Arguments in, one command run, exit code out.

/// Flows are made of many small pieces that are freed by another thread than the one that made them. Its
/// second version and small pages take a fifth less memory than its defaults, for the same time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> pcapsy::cli::Exit {
    pcapsy::cli::run()
}
