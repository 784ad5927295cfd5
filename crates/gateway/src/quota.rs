//! How much an address may ask before anything is paid.
//!
//! A table of a fixed size, in which an address has its place by a hash that strangers cannot guess: a
//! million addresses take no more memory than one, and at worst two that are busy at the same moment
//! share a place. The arithmetic in a place (GCRA) is `governor`'s.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{Clock, Randomness};
use assay_x402::PAYMENT_SIGNATURE;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};

use crate::client::{Client, Peer};
use crate::purchase::TAKE_PAYMENTS;
use crate::{ApiError, ClientLimits, ErrorCode, Gateway};

/// How many places a table has: 65 536, of at most 80 bytes.
const PLACES: usize = 1 << 16;
/// An address that was quiet may ask at once what it may ask in this time.
const BURST_SECONDS: u32 = 10;

type Limiter = RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Moment>>;

/// What an address may ask, by whether it brings a payment.
#[derive(Debug)]
pub(crate) struct Quotas {
    questions: Option<Quota>,
    payments: Option<Quota>,
}

impl Quotas {
    pub(crate) fn new(
        limits: &ClientLimits,
        clock: &Arc<dyn Clock>,
        randomness: &dyn Randomness,
    ) -> Self {
        let quota = |per_second| Quota::new(per_second, clock, randomness);
        let questions = quota(limits.questions_per_second);
        Self { questions, payments: quota(limits.payments_per_second) }
    }
}

/// Lets a request through that its address may send. Where it comes from is only known of one that
/// came over a connection.
pub(crate) async fn limit(
    State(gateway): State<Gateway>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(Peer(peer)) = request.extensions().get::<Peer>().copied() else {
        return Ok(next.run(request).await);
    };
    let client = gateway.config.clients.proxies.client(peer.ip(), request.headers());
    let pays = brings_payment(&request);
    let quotas = &gateway.quotas;
    let (quota, kind) =
        if pays { (&quotas.payments, "payment") } else { (&quotas.questions, "question") };
    if let Some(quota) = quota.as_ref().filter(|_| !client.is_loopback())
        && let Err(seconds) = quota.take(client.into())
    {
        gateway.metrics.over_quota(kind);
        let message = "too many requests came from your address; nothing was charged, try later";
        return Err(ApiError::new(ErrorCode::TooManyRequests, message).retry_after(seconds));
    }
    Ok(next.run(request).await)
}

/// Says whether a request pays for something: anywhere else the header means nothing, and would be a
/// way to ask more.
fn brings_payment(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    request.method() == Method::POST
        && TAKE_PAYMENTS.contains(&route)
        && request.headers().contains_key(PAYMENT_SIGNATURE)
}

/// A quota for each address.
pub(crate) struct Quota {
    places: Box<[Limiter]>,
    ticks: Ticks,
    secret: [u8; 16],
}

impl Quota {
    /// Makes a quota of so many requests a second; none at all for 0.
    pub(crate) fn new(
        per_second: u32,
        clock: &Arc<dyn Clock>,
        randomness: &dyn Randomness,
    ) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        let burst = per_second.saturating_mul(NonZeroU32::new(BURST_SECONDS)?);
        let rate = Rate::per_second(per_second).allow_burst(burst);
        let ticks = Ticks(clock.clone());
        let place = || RateLimiter::direct_with_clock(rate, ticks.clone());
        let places = std::iter::repeat_with(place).take(PLACES).collect();
        Some(Self { places, ticks, secret: randomness.array().unwrap_or_default() })
    }

    /// Counts a request; where it is too much, says after how many seconds to come back.
    pub(crate) fn take(&self, client: Client) -> Result<(), u32> {
        let mut hasher = DefaultHasher::new();
        self.secret.hash(&mut hasher);
        client.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % PLACES as u64).unwrap_or_default();
        let Some(limiter) = self.places.get(place) else { return Ok(()) };
        limiter.check().map_err(|until| {
            let wait = until.wait_time_from(self.ticks.now());
            u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
        })
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quota").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

/// The clock of this program, as `governor` reads it.
#[derive(Clone, Debug)]
struct Ticks(Arc<dyn Clock>);

/// A time since some fixed moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Moment(Duration);

impl GovernorClock for Ticks {
    type Instant = Moment;

    fn now(&self) -> Moment {
        Moment(self.0.monotonic())
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration.into()))
    }
}

impl std::ops::Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, duration: Nanos) -> Self {
        let duration: Duration = duration.into();
        Self(self.0.saturating_add(duration))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use assay_primitives::{RandomnessError, Timestamp};

    use super::*;

    #[derive(Debug, Default)]
    struct Fake(Mutex<Duration>);

    impl Fake {
        fn pass(&self, duration: Duration) {
            *self.0.lock().unwrap() += duration;
        }
    }

    impl Clock for Fake {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(0)
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    #[derive(Debug)]
    struct Seven;

    impl Randomness for Seven {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
            bytes.fill(7);
            Ok(())
        }
    }

    fn quota(per_second: u32) -> (Quota, Arc<Fake>) {
        let fake = Arc::new(Fake::default());
        let clock: Arc<dyn Clock> = fake.clone();
        (Quota::new(per_second, &clock, &Seven).unwrap(), fake)
    }

    fn taken(quota: &Quota, client: Client, tries: u32) -> u32 {
        let taken = (0..tries).filter(|_| quota.take(client).is_ok()).count();
        u32::try_from(taken).unwrap()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (quota, clock) = quota(5);
        let one = Client::V4(1);
        assert_eq!(taken(&quota, one, 1_000), 50);
        assert_eq!(quota.take(one), Err(1));
        clock.pass(Duration::from_secs(1));
        assert_eq!(taken(&quota, one, 1_000), 5);
        clock.pass(Duration::from_secs(3_600));
        assert_eq!(taken(&quota, one, 1_000), 50);
        // Others are not hindered.
        assert_eq!(taken(&quota, Client::V4(2), 50), 50);
        assert_eq!(taken(&quota, Client::V6(1), 50), 50);
    }

    #[test]
    fn a_million_addresses_take_no_more_memory_than_one() {
        let (quota, _) = quota(5);
        let refused = (0..1_000_000).filter(|n| quota.take(Client::V4(*n)).is_err()).count();
        // Fifteen at once share a place, which has fifty.
        assert_eq!((quota.places.len(), refused), (PLACES, 0));
        assert!(size_of::<Limiter>() <= 80, "{}", size_of::<Limiter>());
    }

    #[test]
    fn there_may_be_none() {
        let clock: Arc<dyn Clock> = Arc::new(Fake::default());
        assert!(Quota::new(0, &clock, &Seven).is_none());
    }
}
