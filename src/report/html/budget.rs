//! How much of the page pictures may take, and their numbers.

use std::cell::Cell;

/// Bytes that pictures may take. What finds no room is left out and counted.
#[derive(Debug, Default)]
pub(super) struct Budget {
    used: Cell<usize>,
    drawn: Cell<usize>,
    left_out: Cell<usize>,
}

impl Budget {
    /// So that the page stays below 2 MB.
    const MOST: usize = 1_100_000;

    /// The number of the next picture; `None` when one of so many bytes finds no room.
    pub(super) fn number(&self, bytes: usize) -> Option<usize> {
        if self.used.get() + bytes > Self::MOST {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.used.set(self.used.get() + bytes);
        self.drawn.set(self.drawn.get() + 1);
        Some(self.drawn.get())
    }

    /// Pictures that found no room.
    pub(super) fn left_out(&self) -> usize {
        self.left_out.get()
    }
}
