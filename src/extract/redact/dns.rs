//! A DNS message with other names and addresses, octet for octet as long as before (RFC 1035 section 4).

use super::secrets::Secrets;

/// Writes the redacted form of `old` over `new`, which is as long and zero. What cannot be read stays zero.
pub(super) fn redact(secrets: &Secrets, old: &[u8], new: &mut [u8]) {
    let mut message = Message { secrets, old, new };
    // It ends where the message does not go on as it should: the rest stays zero.
    let _ = message.all();
}

struct Message<'m> {
    secrets: &'m Secrets,
    old: &'m [u8],
    new: &'m mut [u8],
}

impl Message<'_> {
    fn copy(&mut self, at: usize, count: usize) -> Option<usize> {
        let end = at.checked_add(count)?;
        self.new.get_mut(at..end)?.copy_from_slice(self.old.get(at..end)?);
        Some(end)
    }

    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.old.get(at..)?.first_chunk()?))
    }

    fn all(&mut self) -> Option<()> {
        let mut at = self.copy(0, 12)?;
        for _ in 0..self.word(4)? {
            at = self.name(at)?;
            at = self.copy(at, 4)?;
        }
        let records = [6, 8, 10].iter().map(|at| self.word(*at).map(u32::from)).sum::<Option<u32>>();
        for _ in 0..records? {
            at = self.record(at)?;
        }
        Some(())
    }

    /// Labels up to the root or a pointer: what that leads to was rewritten where it stands.
    fn name(&mut self, mut at: usize) -> Option<usize> {
        loop {
            let count = *self.old.get(at)?;
            at = match count {
                0 => return self.copy(at, 1),
                0xc0.. => return self.copy(at, 2),
                1..=63 => {
                    let end = self.copy(at, 1 + usize::from(count))?;
                    self.secrets.label(self.new.get_mut(at + 1..end)?);
                    end
                }
                _ => return None,
            };
        }
    }

    fn record(&mut self, at: usize) -> Option<usize> {
        let at = self.name(at)?;
        let (kind, length) = (self.word(at)?, usize::from(self.word(at + 8)?));
        let data = self.copy(at, 10)?;
        let end = data + length;
        match kind {
            1 | 28 => {
                self.copy(data, length)?;
                self.secrets.octets(self.new.get_mut(data..end)?);
            }
            2 | 5 | 12 | 39 => _ = self.name(data),
            15 => _ = self.copy(data, 2).and_then(|at| self.name(at)),
            33 => _ = self.copy(data, 6).and_then(|at| self.name(at)),
            64 | 65 => _ = self.copy(data, 2).and_then(|at| self.name(at)),
            6 => {
                let behind = self.name(data).and_then(|at| self.name(at));
                let _ = behind.and_then(|at| self.copy(at, 20));
            }
            41 => _ = self.options(data, end),
            _ => {}
        }
        self.old.get(..end).map(|_| end)
    }

    /// EDNS options: codes and lengths, the code of an extended error, and its text in other words.
    fn options(&mut self, mut at: usize, end: usize) -> Option<()> {
        while at < end {
            let (code, length) = (self.word(at)?, usize::from(self.word(at + 2)?));
            let body = self.copy(at, 4)?;
            match code {
                15 => {
                    self.copy(body, length)?;
                    self.secrets.text(self.new.get_mut(body + 2..body + length)?);
                }
                // Client subnet (RFC 7871): family and lengths, not the network.
                8 => _ = self.copy(body, length.min(4)),
                _ => {}
            }
            at = body + length;
        }
        Some(())
    }
}
