//! What happens when the system has no more memory.

use super::outcome::Exit;

/// What the user can do about it.
const MESSAGE: &[u8] =
    b"\npcapsy: out of memory; this report was not written. Set a lower [limits] memory_mib, use \
    fewer --threads, or allow the process more memory (ulimit -v, the limit of the container)\n";

/// Says so and ends the process. Allocates nothing and takes no lock: the allocator that calls it has no
/// memory to give, and another thread may hold any lock. Unfinished files stay for the next run to remove.
#[cold]
pub fn out_of_memory() -> ! {
    // There is nowhere left to say that stderr is gone.
    let _ = rustix::io::write(rustix::stdio::stderr(), MESSAGE);
    #[cfg(unix)]
    signal_hook::low_level::exit(Exit::Failed.code().into());
    #[cfg(not(unix))]
    std::process::exit(Exit::Failed.code().into())
}
