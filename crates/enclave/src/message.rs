use assay_attest::EnclaveConfiguration;
use assay_primitives::{KeyId, ModelId};
use assay_receipt::Salt;
use serde::{Deserialize, Serialize};

/// What a gateway asks an enclave.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", tag = "ask")]
pub enum Ask {
    /// What do you run? Answered by [`Answer::Description`].
    Describe,
    /// Which attestation is there for the key of the epoch? Answered by [`Answer::Attestation`].
    Attestation,
    /// Which attestation is there for a key that signed a moment ago? Answered by
    /// [`Answer::Attestation`].
    AttestationOf {
        /// The key.
        key: KeyId,
    },
    /// New evidence for the key of the epoch, that answers the nonce in the body. Answered by
    /// [`Answer::Attestation`].
    Attest,
    /// Run a model on the request in the body: its committed bytes. Answered by [`Answer::Inferred`].
    #[serde(rename_all = "camelCase")]
    Infer {
        /// The model's package.
        model: ModelId,
        /// The salt of the commitment to the request.
        request_salt: Salt,
        /// The salt of the commitment to the output.
        output_salt: Salt,
    },
}

/// What an enclave answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", tag = "answer")]
pub enum Answer {
    /// What it runs.
    Description(Description),
    /// A key attestation is in the body.
    Attestation,
    /// The body has the output's committed bytes, and after them the enclave's signed statement.
    #[serde(rename_all = "camelCase")]
    Inferred {
        /// How many bytes the output has.
        output_length: u64,
        /// The key that signed.
        key: KeyId,
    },
    /// It was not done.
    Failed {
        /// Why, in one word.
        reason: FailureReason,
        /// Why, in words, for the operator.
        detail: String,
    },
}

/// What an enclave runs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Description {
    /// What is attested.
    pub configuration: EnclaveConfiguration,
    /// The enclave's version.
    pub version: String,
}

/// Why an enclave did not do what it was asked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureReason {
    /// It was not started with this model.
    UnknownModel,
    /// No answer is signed with this key any more, or never was.
    UnknownKey,
    /// The request is not what it should be.
    Request,
    /// The engine failed.
    Engine,
    /// There is no evidence to be had for a key.
    Attester,
    /// The enclave itself failed.
    Internal,
}
