//! What stands instead of what QUIC carries.

use super::secrets::Secrets;
use super::tls;
use crate::app::quic::Mask;

impl Mask for Secrets {
    fn handshake(&self, bytes: &mut [u8]) {
        tls::handshake(self, bytes);
    }

    fn sealed(&self, old: &[u8], new: &mut [u8]) {
        self.mark(old, new);
    }
}
