//! The order of messages and challenges, as a chain of types (section 3).
//!
//! Each state consumes the one before it, so the steps of section 3 can only be taken in their order
//! (pitfalls 5 to 8). `rho`'s further coordinates, `lambda_f`, `omega` and `lambda_w` are drawn here,
//! after what they test was absorbed here. Within a step that takes a closure the types enforce
//! nothing: it is given the transcript, and absorbs and draws in the order of its own module:
//! [`advice`](crate::advice), [`lookups`](crate::lookups), [`layers`](crate::layers),
//! [`weights`](crate::weights), [`tensor_code`](crate::tensor_code). Prover and verifier walk the same
//! chain.
//!
//! ```compile_fail,E0599
//! use assay_zkml::chain::Started;
//! # fn before_the_advice(started: Started) {
//! // No lookup challenge without a commitment to the advice: there is no such method.
//! let _ = started.look_up(|transcript| Ok::<_, ()>((transcript.sample_k(), vec![])), 0);
//! # }
//! ```

use crate::field::{K, encode_k_list};
use crate::lookups::extend_point;
use crate::statement::Statement;
use crate::transcript::{Label, Transcript};

/// The statement is absorbed (step 0).
#[derive(Clone, Debug)]
pub struct Started(Transcript);

/// The commitment to the advice is absorbed (step 1).
#[derive(Clone, Debug)]
pub struct Committed(Transcript);

/// The lookup tree ended at `rho` (steps 2 and 3).
#[derive(Clone, Debug)]
pub struct Looked {
    transcript: Transcript,
    rho: Vec<K>,
}

/// The values at `rho` are absorbed (step 4).
#[derive(Clone, Debug)]
pub struct Claimed {
    transcript: Transcript,
    rho: Vec<K>,
    lambda: K,
}

/// The layers' rounds ended at `tau` (step 5).
#[derive(Clone, Debug)]
pub struct Layered {
    transcript: Transcript,
    rho: Vec<K>,
    tau: Vec<K>,
}

/// The values at `tau` are absorbed (step 6).
#[derive(Clone, Debug)]
pub struct Ended {
    transcript: Transcript,
    rho: Vec<K>,
    tau: Vec<K>,
    omega: Vec<K>,
    lambda: K,
}

/// The weights are opened: what is left is the advice (step 10).
#[derive(Clone, Debug)]
pub struct Weighed {
    transcript: Transcript,
    rho: Vec<K>,
    tau: Vec<K>,
    omega: Vec<K>,
}

impl Started {
    /// Starts the transcript with the statement.
    #[must_use]
    pub fn new(statement: &Statement) -> Self {
        let mut transcript = Transcript::new();
        transcript.absorb(Label::Proof, &statement.encode());
        Self(transcript)
    }

    /// Lets `absorb` absorb the commitment to all columns.
    ///
    /// # Errors
    ///
    /// Those of `absorb`.
    pub fn commit<T, E>(
        mut self,
        absorb: impl FnOnce(&mut Transcript) -> Result<T, E>,
    ) -> Result<(Committed, T), E> {
        let made = absorb(&mut self.0)?;
        Ok((Committed(self.0), made))
    }
}

impl Committed {
    /// Lets `run` draw `alpha` and `beta` and follow the tree to its point, then draws what `rho`
    /// has in front of it, up to `arity` coordinates.
    ///
    /// # Errors
    ///
    /// Those of `run`.
    pub fn look_up<T, E>(
        mut self,
        run: impl FnOnce(&mut Transcript) -> Result<(T, Vec<K>), E>,
        arity: usize,
    ) -> Result<(Looked, T), E> {
        let (made, point) = run(&mut self.0)?;
        let rho = extend_point(&point, arity, &mut self.0);
        Ok((Looked { transcript: self.0, rho }, made))
    }
}

impl Looked {
    /// Returns `rho`.
    pub fn rho(&self) -> &[K] {
        &self.rho
    }

    /// Absorbs the values of step 4 and draws `lambda_f`.
    #[must_use]
    pub fn claim(mut self, values: &[&[K]]) -> Claimed {
        absorb(&mut self.transcript, Label::ColumnValues, values);
        let lambda = self.transcript.sample_k();
        Claimed { transcript: self.transcript, rho: self.rho, lambda }
    }
}

impl Claimed {
    /// Returns `lambda_f`.
    pub const fn lambda(&self) -> K {
        self.lambda
    }

    /// Lets `run` run the rounds over the layers to their point `tau`.
    ///
    /// # Errors
    ///
    /// Those of `run`.
    pub fn layer<T, E>(
        mut self,
        run: impl FnOnce(&[K], K, &mut Transcript) -> Result<(T, Vec<K>), E>,
    ) -> Result<(Layered, T), E> {
        let (made, tau) = run(&self.rho, self.lambda, &mut self.transcript)?;
        Ok((Layered { transcript: self.transcript, rho: self.rho, tau }, made))
    }
}

impl Layered {
    /// Returns `rho`.
    pub fn rho(&self) -> &[K] {
        &self.rho
    }

    /// Returns `tau`.
    pub fn tau(&self) -> &[K] {
        &self.tau
    }

    /// Absorbs the values of step 6; draws the `lb` coordinates of `omega` and `lambda_w`.
    #[must_use]
    pub fn end(mut self, values: &[&[K]], lb: u32) -> Ended {
        absorb(&mut self.transcript, Label::LayerEnds, values);
        let omega = self.transcript.sample_point(lb as usize);
        let lambda = self.transcript.sample_k();
        Ended { transcript: self.transcript, rho: self.rho, tau: self.tau, omega, lambda }
    }
}

impl Ended {
    /// Returns `omega`.
    pub fn omega(&self) -> &[K] {
        &self.omega
    }

    /// Lets `run` run the rounds over the weights and open them (steps 7 to 9); it is given `rho`,
    /// `tau` and `lambda_w`.
    ///
    /// # Errors
    ///
    /// Those of `run`.
    pub fn weigh<T, E>(
        mut self,
        run: impl FnOnce(&[K], &[K], K, &mut Transcript) -> Result<T, E>,
    ) -> Result<(Weighed, T), E> {
        let made = run(&self.rho, &self.tau, self.lambda, &mut self.transcript)?;
        let Self { transcript, rho, tau, omega, .. } = self;
        Ok((Weighed { transcript, rho, tau, omega }, made))
    }
}

impl Weighed {
    /// Lets `run` open the advice; it is given `rho`, `tau` and `omega`.
    ///
    /// # Errors
    ///
    /// Those of `run`.
    pub fn open<T, E>(
        mut self,
        run: impl FnOnce([&[K]; 3], &mut Transcript) -> Result<T, E>,
    ) -> Result<T, E> {
        run([&self.rho, &self.tau, &self.omega], &mut self.transcript)
    }
}

fn absorb(transcript: &mut Transcript, label: Label, lists: &[&[K]]) {
    transcript.absorb(label, &encode_k_list(&lists.concat()));
}
