use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use alloy_primitives::Address;
use assay_primitives::Timestamp;

use super::{CheckedSignIn, MAX_SIGN_IN_AGE, SignInRefusal};

/// How many sign-ins of one account are remembered, and of all.
const OF_ONE: usize = 64;
const OF_ALL: usize = 65_536;

/// Which sign-ins were used, for as long as they could be used again. In memory and bounded: what was
/// signed before the memory began is refused, as nobody knows whether it was used.
#[derive(Debug)]
pub struct SpentSignIns {
    since: Timestamp,
    spent: Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    /// Each account's nonces with the time of their signature.
    nonces: HashMap<Address, VecDeque<(String, Timestamp)>>,
    count: usize,
}

impl SpentSignIns {
    /// Begins to remember.
    #[must_use]
    pub fn since(now: Timestamp) -> Self {
        Self { since: now, spent: Mutex::default() }
    }

    /// Uses a sign-in. Of any number of attempts with one nonce of one account, one succeeds.
    ///
    /// # Errors
    /// When it was used before, was signed before the memory began, or too many are in use.
    pub fn spend(&self, sign_in: &CheckedSignIn, now: Timestamp) -> Result<(), SignInRefusal> {
        let CheckedSignIn { address, nonce, issued_at, .. } = sign_in;
        if *issued_at < self.since {
            let (since, issued_at) = (self.since, *issued_at);
            return Err(SignInRefusal::BeforeStart { since, issued_at });
        }
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.count >= OF_ALL {
            spent.forget_all(now);
        }
        spent.forget(*address, now);
        let count = spent.count;
        let nonces = spent.nonces.entry(*address).or_default();
        if nonces.iter().any(|(other, _)| other == nonce) {
            return Err(SignInRefusal::Replayed { nonce: nonce.clone() });
        }
        if nonces.len() >= OF_ONE {
            return Err(SignInRefusal::TooMany { limit: OF_ONE });
        }
        if count >= OF_ALL {
            return Err(SignInRefusal::TooMany { limit: OF_ALL });
        }
        nonces.push_back((nonce.clone(), *issued_at));
        spent.count += 1;
        Ok(())
    }
}

impl Spent {
    /// Forgets of one account what is too old to be used again.
    fn forget(&mut self, address: Address, now: Timestamp) {
        let Some(nonces) = self.nonces.get_mut(&address) else { return };
        let before = nonces.len();
        nonces.retain(|(_, issued_at)| now.since(*issued_at) <= MAX_SIGN_IN_AGE);
        self.count -= before - nonces.len();
        if nonces.is_empty() {
            self.nonces.remove(&address);
        }
    }

    fn forget_all(&mut self, now: Timestamp) {
        let accounts: Vec<Address> = self.nonces.keys().copied().collect();
        for account in accounts {
            self.forget(account, now);
        }
    }
}
