//! A mapped file that somebody shortens meanwhile raises SIGBUS: say so, instead of dying with a number. An
//! interrupted run says so, too, and takes its unfinished files away.

/// Installs the handlers, where there are such signals.
pub(super) fn install() {
    #[cfg(unix)]
    {
        shortened();
        interrupted();
    }
}

/// SIGINT and SIGTERM end the process as they would have, after a word.
#[cfg(unix)]
fn interrupted() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
    let watch = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let unfinished = crate::report::place::abandon();
            let files = if unfinished { "; no file was written or changed" } else { "" };
            super::outcome::complain(&format!("interrupted{files}"));
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
    // Without the thread `signals` is dropped, but the handlers stay: only SIGKILL would end the run.
    if watch.is_err() {
        super::outcome::complain("cannot start a thread for signals; end this run with kill -9");
    }
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "a signal handler cannot be installed without")]
fn shortened() {
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
