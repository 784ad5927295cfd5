use std::time::Duration;

use assay_primitives::{
    Account, Amount, AssetId, Digest, InferenceOutput, InferenceRequest, Method, ModelId, Network,
    Tensor, TensorData, Timestamp, TransactionId,
};
use assay_receipt::{
    Authorization, BUNDLE_MEDIA_TYPE, Bundle, EngineUsed, Envelope, EvidenceBlob,
    EvidenceReference, EvidenceScope, ItemDetails, ModelUsed, NewItem, NewTransaction, Outcome,
    OutcomePolicy, Price, Receipt, ReceiptPredicate, SettlementBlock, SettlementPredicate,
    SettlementRecord, SettlementStatus, TransactionSecret, Usage, issue,
};

use crate::SampleOperator;

/// The chain id of the development network.
pub const DEVELOPMENT: u64 = 31_337;
/// When sample receipts are signed: 2026-11-21T09:30:00.000Z.
pub const ISSUED_AT: Timestamp = Timestamp::from_seconds(1_795_253_400);
/// A time to verify samples at, an hour later.
pub const VERIFIED_AT: Timestamp = Timestamp::from_seconds(1_795_257_000);
/// What an item costs.
pub const PRICE: Amount = Amount(1_000);

/// The asset: the address of USDC on Base, here on every network.
const ASSET: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
/// Who pays, and who is paid: the second and third of the accounts that development chains fund.
const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
pub(crate) const PAY_TO: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";

/// A transaction before it is certified. Change what is to be wrong with it, then take its
/// [`bundle`](Self::bundle).
#[derive(Clone, Debug)]
pub struct SampleTransaction {
    /// Who sells it.
    pub operator: SampleOperator,
    /// Its id.
    pub id: TransactionId,
    /// The client's nonce.
    pub nonce: Option<String>,
    /// What becomes of the whole if an item fails.
    pub outcome_policy: OutcomePolicy,
    /// The payment.
    pub authorization: Authorization,
    /// What ran.
    pub items: Vec<NewItem>,
    /// The evidence of the items.
    pub evidence: Vec<EvidenceBlob>,
    /// What all salts come from.
    pub secret: TransactionSecret,
    /// What became of the money, oldest first.
    pub records: Vec<SettlementPredicate>,
}

/// Makes a transaction of one `signed` item on an EVM chain, without a settlement record.
#[must_use]
pub fn sample_transaction(chain_id: u64) -> SampleTransaction {
    let network = Network::eip155(chain_id);
    let authorization = Authorization {
        scheme: "exact".to_owned(),
        network,
        asset: account(ASSET),
        payer: account(PAYER),
        pay_to: account(PAY_TO),
        amount: Amount::ZERO,
        nonce: format!("0x{}", Digest::of(b"authorization")),
        valid_before: ISSUED_AT.plus(Duration::from_secs(60)),
    };
    let transaction = SampleTransaction {
        operator: SampleOperator::new(1),
        id: "01a1fd70-f1c0-7000-8000-000000000001".parse().expect("a UUID version 7"),
        nonce: Some("fresh-1".to_owned()),
        outcome_policy: OutcomePolicy::All,
        authorization,
        items: Vec::new(),
        evidence: Vec::new(),
        secret: TransactionSecret::from_bytes([7; 32]),
        records: Vec::new(),
    };
    transaction.with_items(1)
}

impl SampleTransaction {
    /// Makes it one of `count` items, paid for.
    #[must_use]
    pub fn with_items(mut self, count: u32) -> Self {
        self.items = (0..count).map(|index| self.item(index)).collect();
        self.authorization.amount = Amount(PRICE.0 * u128::from(count));
        self
    }

    /// Makes its last item one that failed and is not charged.
    #[must_use]
    pub fn with_last_failed(mut self) -> Self {
        if let Some(item) = self.items.last_mut() {
            item.output = None;
            item.details.outcome = Outcome::Failed { reason: "engine".to_owned() };
            self.authorization.amount = Amount(self.authorization.amount.0 - PRICE.0);
        }
        self
    }

    /// Gives an item a piece of evidence.
    #[must_use]
    pub fn with_evidence(mut self, index: usize, kind: &str, content: &[u8]) -> Self {
        let sha256 = Digest::of(content);
        if let Some(item) = self.items.get_mut(index) {
            item.details.evidence.push(EvidenceReference {
                kind: kind.to_owned(),
                sha256,
                size: content.len() as u64,
                scope: EvidenceScope::Model,
            });
        }
        if self.evidence.iter().all(|blob| blob.sha256 != sha256) {
            self.evidence.push(EvidenceBlob { sha256, content: content.to_vec() });
        }
        self
    }

    /// Adds the record that it was settled as authorised, in a block two seconds after the receipt.
    #[must_use]
    pub fn settled(mut self) -> Self {
        let record = self.moved(SettlementStatus::Settled, self.authorization.amount, 2);
        self.records.push(record);
        self
    }

    /// Adds the record of a refund, a minute after the receipt.
    #[must_use]
    pub fn refunded(mut self, amount: Amount) -> Self {
        let record = self.moved(SettlementStatus::Refunded, amount, 60);
        self.records.push(record);
        self
    }

    /// Adds a record of a status that moves nothing.
    #[must_use]
    pub fn with_status(mut self, status: SettlementStatus) -> Self {
        let record = self.moved(status, Amount::ZERO, 62);
        self.records.push(SettlementPredicate { transaction: None, block: None, ..record });
        self
    }

    /// Certifies the transaction.
    #[must_use]
    pub fn bundle(&self) -> Bundle {
        let transaction = NewTransaction {
            id: self.id,
            operator: self.operator.id(),
            nonce: self.nonce.clone(),
            ledger: None,
            outcome_policy: self.outcome_policy,
            authorization: self.authorization.clone(),
            items: self.items.clone(),
        };
        let issued = issue(transaction, &self.secret, &self.operator.receipt_key, ISSUED_AT)
            .expect("a sample can be certified");
        let mut bundle = Bundle {
            media_type: BUNDLE_MEDIA_TYPE.to_owned(),
            receipt: issued.receipt,
            settlement_records: Vec::new(),
            key_manifest: self.operator.manifest_envelope(),
            items: issued.items,
            evidence: self.evidence.clone(),
        };
        self.sign_records(&mut bundle);
        bundle
    }

    /// Certifies the transaction, but signs a receipt and records that say otherwise: what an
    /// operator can do that lies.
    #[must_use]
    pub fn bundle_with(&self, alter: impl FnOnce(&mut Digest, &mut ReceiptPredicate)) -> Bundle {
        let mut bundle = self.bundle();
        let receipt = Receipt::from_bytes(&bundle.receipt.payload).expect("a sample's receipt");
        let (mut root, mut predicate) = (receipt.subject(), receipt.predicate().clone());
        alter(&mut root, &mut predicate);
        let receipt = Receipt::new(root, predicate).sign(&self.operator.receipt_key);
        bundle.receipt = receipt.expect("a receipt is JSON");
        self.sign_records(&mut bundle);
        bundle
    }

    fn sign_records(&self, bundle: &mut Bundle) {
        let receipt = bundle.receipt.digest();
        let sign = |record: &SettlementPredicate| -> Envelope {
            let record = SettlementRecord::new(receipt, record.clone());
            record.sign(&self.operator.receipt_key).expect("a record is JSON")
        };
        bundle.settlement_records = self.records.iter().map(sign).collect();
    }

    fn item(&self, index: u32) -> NewItem {
        let terms = &self.authorization;
        let asset = AssetId::erc20(terms.network.clone(), terms.asset.clone());
        let details = ItemDetails {
            index,
            id: None,
            model: ModelUsed {
                name: "digits".to_owned(),
                version: "1.0.0".to_owned(),
                package: ModelId(Digest::of(b"model package")),
                program: None,
                engine: EngineUsed { name: "tract".to_owned(), version: "0.23.9".to_owned() },
            },
            method: Method::SIGNED,
            usage: Usage { inferences: 1 },
            price: Price { amount: PRICE, asset },
            depends_on: Vec::new(),
            references: Vec::new(),
            evidence: Vec::new(),
            outcome: Outcome::Ok,
        };
        let request = sample_request(index).to_bytes().expect("a request is JSON");
        let output = sample_output(index % 10).to_bytes().expect("an output is JSON");
        NewItem { details, request, output: Some(output) }
    }

    fn moved(&self, status: SettlementStatus, amount: Amount, seconds: u64) -> SettlementPredicate {
        let time = ISSUED_AT.plus(Duration::from_secs(seconds));
        let terms = &self.authorization;
        let (payer, pay_to) = match status {
            SettlementStatus::Refunded => (&terms.pay_to, &terms.payer),
            _ => (&terms.payer, &terms.pay_to),
        };
        let hash = |what: &str| format!("0x{}", Digest::of(format!("{what}{seconds}").as_bytes()));
        SettlementPredicate {
            operator: self.operator.id(),
            receipt_key: self.operator.receipt_key.public().id(),
            status,
            network: terms.network.clone(),
            asset: terms.asset.clone(),
            payer: payer.clone(),
            pay_to: pay_to.clone(),
            amount,
            transaction: Some(hash("transaction")),
            block: Some(SettlementBlock { number: 100 + seconds, hash: hash("block"), time }),
            reason: None,
            recorded_at: time.plus(Duration::from_secs(1)),
        }
    }
}

/// Returns the request of item `index`: four numbers, different for each index.
#[must_use]
pub fn sample_request(index: u32) -> InferenceRequest {
    let index = f64::from(index);
    let data = TensorData::Fp64(vec![0.5, -1.0, 2.25, index]);
    let tensor = Tensor::new("input".to_owned(), vec![1, 4], data).expect("a sample tensor");
    InferenceRequest { inputs: vec![tensor] }
}

/// Returns one of the ten answers a model of ten classes gives.
#[must_use]
pub fn sample_output(class: u32) -> InferenceOutput {
    let scores = (0..10).map(|other| if other == class { 1.0 } else { 0.0 }).collect();
    let tensor = Tensor::new("scores".to_owned(), vec![1, 10], TensorData::Fp32(scores));
    InferenceOutput { outputs: vec![tensor.expect("a sample tensor")] }
}

pub(crate) fn account(address: &str) -> Account {
    address.parse().expect("an address")
}
