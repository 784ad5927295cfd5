//! Giving money back: a transfer, and the settlement record that tells of it.

mod journal;
mod transfer;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use assay_chain::{AccountKey, Chain};
use assay_primitives::{Account, Amount, Clock, Digest, Timestamp, TransactionId, json};
use assay_receipt::{
    Authorization, Bundle, Envelope, Receipt, SettlementPredicate, SettlementRecord,
    SettlementStatus,
};
use assay_service::Operator;
use assay_verify::{PaymentReport, PaymentState, Verified, open_payment, open_receipt};
use serde::Deserialize;
use serde_json::{Value, json};

use self::journal::{Entry, Ledger, Mined, Refunds, State};
use self::transfer::{Payer, Seen, not_shown};
use super::{gateway, system_clock};
use crate::args::RefundArgs;
use crate::config::Config;
use crate::error::CliError;
use crate::keys::KeyFolder;
use crate::node::{account_key, connect, development_key};
use crate::{files, money, output};

/// Where the key of the account that was paid may stand in place of a file.
const REFUND_KEY: &str = "ASSAY_REFUND_KEY";
/// The most bytes that a bundle may have.
const MAX_BUNDLE: u64 = 256 << 20;

pub(crate) async fn run(args: &RefundArgs) -> Result<ExitCode, CliError> {
    let file = args.config.as_deref().filter(|path| !path.as_os_str().is_empty());
    let config = Config::load(file)?;
    let clock = system_clock();
    let operator = operator(&config, clock.now())?;
    let gateway = args.gateway.clone().unwrap_or_else(|| gateway_of(&config));
    let found = Found::look_up(args, &gateway).await?;
    let sale = Sale::open(&found, &operator, clock.now())?;
    let chain = chain(&config, &clock).await?;
    let key = key(args, &sale, &chain)?;
    let refunds = Arc::new(Refunds::open(&config.data, chain.network())?);
    let refund = Refund { config: &config, clock, operator, gateway, sale, refunds };
    let payer = Payer::new(chain, key, &refund)?;
    let entry = match refund.unfinished(&payer).await? {
        Some(entry) => {
            output::note("A refund that was begun before is carried on; nothing new is signed.");
            entry
        }
        None => refund.plan(args.amount.as_deref())?,
    };
    let entry = refund.carry_out(entry, &payer).await?;
    refund.hand_in(&entry).await?;
    refund.tell(&entry, args.json)
}

/// A receipt, and what became of its money as far as is known.
struct Found {
    receipt: Envelope,
    records: Vec<Envelope>,
}

/// The public part of a receipt, of which the operator knows more than who asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicPart {
    receipt: Envelope,
    settlement_records: Vec<Envelope>,
}

impl Found {
    /// Asks the gateway, which knows every record; of a bundle it may have given away before others
    /// were made. Where it cannot be reached, the bundle is what is known.
    async fn look_up(args: &RefundArgs, gateway: &str) -> Result<Self, CliError> {
        let id: Result<TransactionId, _> = args.receipt.parse();
        if let Ok(id) = id {
            return Self::ask(gateway, id).await;
        }
        let path = Path::new(&args.receipt);
        let wrong = |error: String| CliError::Input(format!("{}: {error}", path.display()));
        let bundle = Bundle::from_bytes(&files::read(path, MAX_BUNDLE)?)
            .map_err(|error| wrong(error.to_string()))?;
        let receipt = Receipt::from_bytes(&bundle.receipt.payload)
            .map_err(|error| wrong(error.to_string()))?;
        match Self::ask(gateway, receipt.predicate().transaction_id).await {
            Ok(found) if found.receipt.digest() == bundle.receipt.digest() => Ok(found),
            Ok(found) => {
                let (expected, got) = (found.receipt.digest(), bundle.receipt.digest());
                Err(wrong(format!("expected the receipt {expected} of the gateway, got {got}")))
            }
            Err(CliError::Failed(error)) => {
                output::note(format_args!("{error}; the bundle and {REFUNDS} are what is known."));
                Ok(Self { receipt: bundle.receipt, records: bundle.settlement_records })
            }
            Err(error) => Err(error),
        }
    }

    async fn ask(gateway: &str, id: TransactionId) -> Result<Self, CliError> {
        let id = id.to_string();
        let PublicPart { receipt, settlement_records } =
            gateway::get(gateway, &["v1", "receipts", &id]).await?;
        Ok(Self { receipt, records: settlement_records })
    }
}

/// Where refunds are kept, for people.
const REFUNDS: &str = "the folder `refunds` of the data";

/// What was sold and paid: one's own receipt, and its settlement records.
struct Sale {
    receipt: Verified<Receipt>,
    digest: Digest,
    records: Vec<Envelope>,
    opened: Vec<SettlementRecord>,
    payment: PaymentReport,
}

impl Sale {
    /// Checks that a receipt is this operator's, and settled.
    fn open(found: &Found, operator: &Operator, now: Timestamp) -> Result<Self, CliError> {
        let (manifest, digest) = (operator.manifest(), found.receipt.digest());
        let wrong = |refusal| CliError::Input(format!("the receipt cannot be refunded: {refusal}"));
        let receipt = open_receipt(&found.receipt, manifest, now).map_err(wrong)?;
        let payment =
            open_payment(&found.records, manifest, &receipt, digest, now).map_err(wrong)?;
        if !matches!(payment.state, PaymentState::Settled | PaymentState::Refunded) {
            return Err(CliError::Input(format!(
                "the receipt cannot be refunded: expected one that is settled, got one that is \
                 `{}`",
                payment.state
            )));
        }
        let opened =
            found.records.iter().map(|record| SettlementRecord::from_bytes(&record.payload));
        let opened = opened.collect::<Result<_, _>>().map_err(CliError::input)?;
        Ok(Self { receipt, digest, records: found.records.clone(), opened, payment })
    }

    fn id(&self) -> TransactionId {
        self.receipt.predicate().transaction_id
    }

    fn terms(&self) -> &Authorization {
        &self.receipt.predicate().authorization
    }

    /// Says whether a record tells of a transaction of the chain.
    fn tells_of(&self, mined: &Mined) -> bool {
        let transaction = mined.transaction.to_string();
        self.opened.iter().any(|record| {
            let told = record.predicate().transaction.as_deref();
            told.is_some_and(|told| told.eq_ignore_ascii_case(&transaction))
        })
    }
}

/// A refund, and what it takes.
struct Refund<'a> {
    config: &'a Config,
    clock: Arc<dyn Clock>,
    operator: Operator,
    gateway: String,
    sale: Sale,
    refunds: Arc<Refunds>,
}

impl Refund<'_> {
    /// Returns a refund of this receipt that was begun before and has a step before it.
    async fn unfinished(&self, payer: &Payer) -> Result<Option<Entry>, CliError> {
        for entry in self.refunds.of(self.sale.id()) {
            match &entry.state {
                State::Open => return Ok(Some(entry)),
                State::Mined(mined) if self.sale.tells_of(mined) => {
                    self.set(&entry, State::Recorded(mined.clone()))?;
                }
                // The same transfer goes into another block.
                State::Mined(mined) if !payer.holds(&mined.block).await? => {
                    return self.set(&entry, State::Open).map(Some);
                }
                State::Mined(_) => return Ok(Some(entry)),
                State::Recorded(_) => {}
                State::Undone { block: Some(block) } if payer.holds(block).await? => {}
                State::Undone { .. } => {
                    if let Some(entry) = self.look_again(&entry, payer).await? {
                        return Ok(Some(entry));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Looks again at a refund that was taken for undone by a block that is not in the chain; returns
    /// it if it has a step before it.
    async fn look_again(&self, entry: &Entry, payer: &Payer) -> Result<Option<Entry>, CliError> {
        let newest = self.refunds.of(self.sale.id()).last().map(|newest| newest.sequence);
        match payer.conclude(entry).await? {
            Seen::Mined(mined) => self.set(entry, State::Mined(mined)).map(Some),
            Seen::Undone(block, _) => {
                self.set(entry, State::Undone { block: Some(block) })?;
                Ok(None)
            }
            Seen::Open(_) if newest == Some(entry.sequence) => {
                self.set(entry, State::Open).map(Some)
            }
            Seen::Open(_) => Err(not_shown("another was made in its place, and it may come back")),
        }
    }

    /// Plans a refund of what is asked for, or of all that is left.
    fn plan(&self, amount: Option<&str>) -> Result<Entry, CliError> {
        let (sale, id) = (&self.sale, self.sale.id());
        let before = self.refunds.of(id);
        let left = self.left(&before)?;
        let shown = |amount| self.shown(amount);
        let settled = shown(sale.payment.settled);
        if left == Amount::ZERO {
            return Err(CliError::Input(format!(
                "there is nothing more to refund: all {settled} that were settled were given back"
            )));
        }
        let amount = amount.map_or(Ok(left), |text| self.amount(text))?;
        if amount == Amount::ZERO || amount > left {
            let (left, got) = (shown(left), shown(amount));
            return Err(CliError::Input(format!(
                "--amount: expected more than 0 and at most {left} that are left of {settled}, got \
                 {got}"
            )));
        }
        let sequence = before.last().map_or(0, |last| last.sequence).saturating_add(1);
        let call = Digest::of_parts(&[
            b"assay refund",
            id.to_string().as_bytes(),
            sequence.to_string().as_bytes(),
        ]);
        let entry = Entry {
            sequence,
            amount,
            call: call.0.into(),
            versions: Vec::new(),
            is_closed: false,
            state: State::Open,
            record: None,
        };
        let ledger = Ledger {
            transaction: id,
            receipt: sale.digest,
            network: sale.terms().network.clone(),
            refunds: before,
        };
        self.refunds.plan(ledger, entry.clone());
        Ok(entry)
    }

    /// Returns what is settled and not given back: neither by a record, nor by a transfer of this
    /// journal that the records do not tell of.
    fn left(&self, before: &[Entry]) -> Result<Amount, CliError> {
        let unknown = before
            .iter()
            .filter(|entry| entry.mined().is_some_and(|mined| !self.sale.tells_of(mined)));
        let told = self.sale.payment.refunded;
        let given = unknown.map(|entry| entry.amount).try_fold(told, Amount::checked_add);
        let given = given.ok_or_else(|| CliError::failed("the refunds add up to too much"))?;
        Ok(Amount(self.sale.payment.settled.0.saturating_sub(given.0)))
    }

    fn amount(&self, text: &str) -> Result<Amount, CliError> {
        let terms = self.sale.terms();
        let decimals = money::decimals(&terms.network, &terms.asset).unwrap_or(0);
        Amount::from_decimal(text, decimals)
            .map_err(|error| CliError::Input(format!("--amount: {error}")))
    }

    fn shown(&self, amount: Amount) -> String {
        let terms = self.sale.terms();
        money::shown(amount, &terms.network, &terms.asset)
    }

    /// Sees to it that the money is in the chain.
    async fn carry_out(&self, entry: Entry, payer: &Payer) -> Result<Entry, CliError> {
        if entry.mined().is_some() {
            return Ok(entry);
        }
        let moving = payer.carry_out(&entry, self);
        let amount = self.shown(entry.amount);
        let mined = output::patiently(&format!("Giving back {amount}"), moving).await?;
        self.set(&entry, State::Mined(mined))
    }

    fn set(&self, entry: &Entry, state: State) -> Result<Entry, CliError> {
        self.refunds.change(self.sale.id(), entry.sequence, |entry| entry.state = state)?;
        let entries = self.refunds.of(self.sale.id());
        let changed = entries.into_iter().find(|changed| changed.sequence == entry.sequence);
        changed.ok_or_else(|| CliError::failed("the refund is not in its journal"))
    }

    /// Gives the gateway the record of a refund. The same one again, when it is not known whether it
    /// came.
    async fn hand_in(&self, entry: &Entry) -> Result<(), CliError> {
        let Some(mined) = entry.mined() else { return Ok(()) };
        assay_primitives::failpoint!("cli.refund.before_record");
        let record = self.record(entry, mined).map_err(|error| self.unrecorded(entry, &error))?;
        self.refunds.change(self.sale.id(), entry.sequence, |entry| {
            entry.record = Some(record.clone());
        })?;
        let body = json::to_vec(&record).map_err(CliError::failed)?;
        let id = self.sale.id().to_string();
        let path = ["v1", "receipts", &id, "settlement-records"];
        let taken: Result<Value, CliError> = gateway::post(&self.gateway, &path, body).await;
        taken.map_err(|error| self.unrecorded(entry, &error))?;
        self.set(entry, State::Recorded(mined.clone())).map(drop)
    }

    /// Returns the record of a refund: the one that was signed before, if it still holds.
    fn record(&self, entry: &Entry, mined: &Mined) -> Result<Envelope, CliError> {
        let is_of = |record: &Envelope| {
            let record = SettlementRecord::from_bytes(&record.payload);
            record.is_ok_and(|record| record.predicate().block.as_ref() == Some(&mined.block))
        };
        let holds = |record: &Envelope| is_of(record) && self.check(record).is_ok();
        if let Some(record) = entry.record.clone().filter(holds) {
            return Ok(record);
        }
        let (terms, key) = (self.sale.terms(), self.operator.receipt_key());
        let last = self.sale.opened.last().map(|record| record.predicate().recorded_at);
        let now = self.clock.now();
        let predicate = SettlementPredicate {
            operator: self.operator.id(),
            receipt_key: key.public().id(),
            status: SettlementStatus::Refunded,
            network: terms.network.clone(),
            asset: terms.asset.clone(),
            payer: terms.pay_to.clone(),
            pay_to: terms.payer.clone(),
            amount: entry.amount,
            transaction: Some(mined.transaction.to_string()),
            block: Some(mined.block.clone()),
            reason: None,
            // Records are oldest first, by whichever clock.
            recorded_at: last.map_or(now, |last| last.max(now)),
        };
        let record = SettlementRecord::new(self.sale.digest, predicate).sign(key);
        let record = record.map_err(CliError::failed)?;
        self.check(&record)?;
        Ok(record)
    }

    /// Checks a record with those before it, as a verifier will.
    fn check(&self, record: &Envelope) -> Result<PaymentReport, CliError> {
        let mut records = self.sale.records.clone();
        records.push(record.clone());
        let (manifest, now) = (self.operator.manifest(), self.clock.now());
        open_payment(&records, manifest, &self.sale.receipt, self.sale.digest, now)
            .map_err(CliError::failed)
    }

    /// Tells that the money has moved, whatever became of the record.
    fn unrecorded(&self, entry: &Entry, error: &CliError) -> CliError {
        let (amount, to) = (self.shown(entry.amount), &self.sale.terms().payer);
        let by = entry.mined().map(|mined| mined.transaction.to_string()).unwrap_or_default();
        CliError::Failed(format!(
            "{amount} were given back to {to} by {by}, and the gateway has no record of it yet: \
             {error}; run this again to hand it in, no more money moves"
        ))
    }

    fn tell(&self, entry: &Entry, as_json: bool) -> Result<ExitCode, CliError> {
        let (terms, id) = (self.sale.terms(), self.sale.id());
        let left = self.left(&self.refunds.of(id))?;
        let total = Amount(self.sale.payment.settled.0.saturating_sub(left.0));
        let mined = entry.mined();
        if as_json {
            output::json(&json!({
                "transaction": id,
                "amount": entry.amount,
                "network": terms.network,
                "asset": terms.asset,
                "from": terms.pay_to,
                "to": terms.payer,
                "by": mined.map(|mined| mined.transaction),
                "block": mined.map(|mined| &mined.block),
                "settled": self.sale.payment.settled,
                "refunded": total,
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        output::field("transaction", id);
        let network = &terms.network;
        output::field("given back", format_args!("{} on {network}", self.shown(entry.amount)));
        output::field("to", &terms.payer);
        if let Some(mined) = mined {
            output::field("by", mined.transaction);
        }
        let settled = self.shown(self.sale.payment.settled);
        output::field("in all", format_args!("{} of {settled}", self.shown(total)));
        Ok(ExitCode::SUCCESS)
    }
}

fn operator(config: &Config, now: Timestamp) -> Result<Operator, CliError> {
    let keys = match &config.keys.folder {
        Some(folder) => KeyFolder::new(folder),
        None => KeyFolder::new(&config.data.join("keys")),
    };
    let (envelope, manifest) = keys.manifest()?;
    let key = keys.receipt_key(&manifest, now)?;
    Operator::new(envelope, key, now).map_err(CliError::input)
}

/// Returns where the gateway of a configuration is.
fn gateway_of(config: &Config) -> String {
    config.public_url.clone().unwrap_or_else(|| format!("http://{}", config.listen))
}

/// Connects to the chain of a configuration: one that a gateway runs, where it names none.
async fn chain(config: &Config, clock: &Arc<dyn Clock>) -> Result<Chain, CliError> {
    let own = format!("http://{}", config.chain.devchain_listen);
    let rpc_url = config.chain.rpc_url.as_ref().unwrap_or(&own);
    let network = config.network().map_err(CliError::Input)?;
    connect(rpc_url, network, clock, None).await
}

/// Returns the key of the account that was paid.
fn key(args: &RefundArgs, sale: &Sale, chain: &Chain) -> Result<AccountKey, CliError> {
    let terms = sale.terms();
    if terms.network != *chain.network() {
        return Err(CliError::Input(format!(
            "the receipt cannot be refunded here: expected one that was paid on {}, got one of {}",
            chain.network(),
            terms.network
        )));
    }
    let key = match args.development_account {
        Some(n) => Some(development_key(n)?),
        None => account_key(args.key_file.as_deref(), REFUND_KEY)?,
    };
    let key = key.ok_or_else(|| {
        CliError::Input(format!(
            "nobody gives back: give --key-file, --development-account or {REFUND_KEY}, the key of {}",
            terms.pay_to
        ))
    })?;
    let got: Account = money::account(key.address())?;
    if !terms.pay_to.is_same(&got) {
        return Err(CliError::Input(format!(
            "the money comes from the account that was paid: expected the key of {}, got that of \
             {got}",
            terms.pay_to
        )));
    }
    Ok(key)
}
