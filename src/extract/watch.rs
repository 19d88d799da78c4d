//! How far a second reading has come.

use std::fmt;
use std::sync::Arc;

/// Called with the ordinal of the packet that was read last, and that of the last one there is. When a
/// reading begins again, the ordinal goes back.
type Look = dyn Fn(u64, u64) + Send + Sync;

/// Somebody who wants to know how far a second reading has come, or nobody.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<Look>>);

impl Watch {
    /// Tells `look`.
    pub fn new(look: impl Fn(u64, u64) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(look)))
    }

    /// A packet was read, of as many as `last`.
    pub(super) fn passed(&self, ordinal: u64, last: u64) {
        if let Some(look) = &self.0 {
            look(ordinal, last);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Watch({})", self.0.is_some())
    }
}
