//! placeholder
/// DNS transaction.
#[derive(Clone, Debug, Default)]
pub struct Transaction {}
