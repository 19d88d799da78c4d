//! A mapped file that somebody shortens meanwhile raises SIGBUS: say so, instead of dying with a number.

/// Installs the handler, where there is such a signal.
pub(super) fn install() {
    #[cfg(unix)]
    unix();
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "a signal handler cannot be installed without")]
fn unix() {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;

    const MESSAGE: &[u8] = b"\npcapsy: an input file was truncated while mapped; nothing was reported\n";
    let Ok(stderr) = std::io::stderr().as_fd().try_clone_to_owned() else { return };
    let stderr = File::from(stderr);
    // SAFETY: the action only makes the system calls write and _exit, which are async-signal-safe. Writing to
    // a `File` takes no lock and allocates nothing. The action owns the descriptor, so it stays open.
    let installed = unsafe {
        signal_hook::low_level::register(signal_hook::consts::SIGBUS, move || {
            let _ = (&stderr).write(MESSAGE);
            signal_hook::low_level::exit(3);
        })
    };
    // Without the handler the signal keeps its default: the run dies, only with less said.
    let _ = installed;
}
