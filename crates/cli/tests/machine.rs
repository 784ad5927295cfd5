//! Faults of the machine under the gateway: its disk, its database, its clock, and a second gateway.
//! In the end either there is a settled receipt and the buyer was charged once, by the token's logs,
//! or the buyer was not charged.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;
use sqlx::{Connection as _, SqliteConnection};
use tokio::runtime::{Builder, Runtime};

use crate::support::{Gateway, Place, Running, Scene, paused_purchase, rpc};

/// The name of the file that the gateway's clock is wrong by.
const STEP: &str = "step";

/// Makes a command fail to write files longer than so many bytes, as it does on a full disk.
fn with_full_disk(command: &Command, bytes: u64) -> Command {
    let mut limited = Command::new("sh");
    let blocks = bytes / 512;
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.current_dir(command.get_current_dir().unwrap());
    limited
}

/// Buys until a purchase does not come to its end, and stops it then. Returns how many came.
fn buy_until_stuck(place: &Place, url: &str) -> usize {
    for bought in 0..40 {
        let out = place.arg(&format!("{bought}.assay"));
        let mut order = place.order(url, &["--out", &out]);
        let ends = (0..400).any(|_| {
            sleep(Duration::from_millis(10));
            !order.is_running()
        });
        if !ends {
            order.stop("TERM");
            return bought;
        }
        if !order.finish().status.success() {
            return bought;
        }
    }
    panic!("the disk was never full");
}

/// The disk is full at one step of a purchase or another, depending on how much it holds.
#[test]
fn a_full_disk_charges_once_or_not_at_all() {
    Scene::table("fault of the disk");
    for room in [60_000, 90_000, 120_000, 150_000] {
        let scene = Scene::open();
        let env = [("ASSAY_RPC_URL", scene.chain.url.as_str())];
        Gateway::start(&scene.place, &env).stop();
        let held = std::fs::metadata(scene.place.path("assay-data/assay.db")).unwrap().len();
        let serve = Gateway::command(&scene.place, &env, &["serve", "--json"]);
        let mut process = Running::start(&mut with_full_disk(&serve, held + room));
        let told = process.first_json();
        let bought = buy_until_stuck(&scene.place, told["gateway"].as_str().unwrap());
        process.stop("KILL");

        let shop = Gateway::start(&scene.place, &env);
        shop.wait_for_ends();
        let paid = scene.payments();
        // Who had a result paid; who had none may have paid, and then has a receipt.
        assert!(
            (bought as u128..=bought as u128 + 1).contains(&paid),
            "{bought} came, {paid} paid"
        );
        scene.ends(&shop, &format!("full {room} bytes on, after {bought} purchases"), paid);
        shop.stop();
    }
}

/// The database, held by another program.
struct Held {
    runtime: Runtime,
    by: SqliteConnection,
}

impl Held {
    fn take(place: &Place) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("sqlite://{}", place.arg("assay-data/assay.db"));
        let mut by = runtime.block_on(SqliteConnection::connect(&url)).unwrap();
        runtime.block_on(sqlx::query("BEGIN EXCLUSIVE").execute(&mut by)).unwrap();
        Self { runtime, by }
    }

    fn release(mut self) {
        self.runtime.block_on(sqlx::query("ROLLBACK").execute(&mut self.by)).unwrap();
        self.runtime.block_on(self.by.close()).unwrap();
    }
}

#[test]
fn a_database_held_by_another_program_charges_once_or_not_at_all() {
    let scene = Scene::open();
    let mut shop = Gateway::start(&scene.place, &[("ASSAY_RPC_URL", &scene.chain.url)]);
    Scene::table("fault of the database");
    let held = Held::take(&scene.place);
    scene.place.order(&shop.url, &[]).finish().expect(1);
    held.release();
    scene.ends(&shop, "held before the payment is taken", 0);

    rpc(&scene.chain.url, "dev_pause", &json!([]));
    let order = scene.place.order(&shop.url, &[]);
    shop.wait_for_metric("assay_transactions{state=\"committed\"} 1");
    let held = Held::take(&scene.place);
    rpc(&scene.chain.url, "dev_resume", &json!([]));
    // The settlement is mined, and cannot be recorded.
    shop.process.wait_for("A settlement broke off.");
    assert_eq!(scene.payments(), 2);
    held.release();
    order.finish().expect(0);
    scene.ends(&shop, "held when the settlement is recorded", 2);
    shop.stop();
}

#[test]
fn a_second_gateway_on_one_database_is_refused() {
    let scene = Scene::open();
    let env = [("ASSAY_RPC_URL", scene.chain.url.as_str())];
    let shop = Gateway::start(&scene.place, &env);
    let order = paused_purchase(&scene.place, &scene.chain, &shop);
    let refused = || {
        let mut second = Gateway::command(&scene.place, &env, &["serve"]);
        let ran = Running::start(&mut second).finish();
        ran.expect_told(1, "another gateway uses the data folder assay-data");
    };
    refused();
    std::fs::remove_file(scene.place.path("assay-data/assay.lock")).unwrap();
    refused();
    rpc(&scene.chain.url, "dev_resume", &json!([]));
    order.finish().expect(0);
    Scene::table("fault of the operator");
    scene.ends(&shop, "starts a second gateway on one database", 1);
    shop.stop();
}

/// A gateway whose clock is wrong by as many seconds as a test says, and may go wrong while it runs.
fn with_clock(scene: &Scene, step: i64) -> Gateway {
    set_clock(scene, step);
    let path = scene.place.arg(STEP);
    let env = [("ASSAY_RPC_URL", scene.chain.url.as_str()), ("ASSAY_CLOCK_STEP", &path)];
    Gateway::start(&scene.place, &env)
}

fn set_clock(scene: &Scene, step: i64) {
    scene.place.file(STEP, step.to_string());
}

#[test]
fn a_clock_that_steps_charges_once_or_not_at_all() {
    Scene::table("fault of the clock");
    for (step, told) in [(3_600, "an hour ahead"), (-3_600, "an hour behind")] {
        let scene = Scene::open();
        let shop = with_clock(&scene, 0);
        set_clock(&scene, step);
        scene.place.order(&shop.url, &[]).finish().expect(1);
        set_clock(&scene, 0);
        scene.ends(&shop, &format!("{told} when a payment comes"), 0);
        shop.stop();
    }
}

/// What is under way has not expired because the clock says so: it is in the chain's pool.
#[test]
fn a_clock_that_steps_while_a_settlement_is_under_way_charges_once() {
    Scene::table("fault of the clock");
    let scene = Scene::open();
    let shop = with_clock(&scene, 0);
    let order = paused_purchase(&scene.place, &scene.chain, &shop);
    shop.process.stop("KILL");
    order.stop("TERM");
    let shop = with_clock(&scene, 3_600);
    shop.wait_for_metric("assay_transactions{state=\"committed\"} 1");
    // Long enough to look at it again.
    sleep(Duration::from_secs(5));
    assert_eq!((shop.count("committed"), shop.count("failed")), (1, 0));
    rpc(&scene.chain.url, "dev_resume", &json!([]));
    shop.wait_for_metric("assay_transactions{state=\"settled\"} 1");
    set_clock(&scene, 0);
    scene.ends(&shop, "an hour forth while the settlement is under way", 1);
    shop.stop();

    let scene = Scene::open();
    let shop = with_clock(&scene, 0);
    let order = paused_purchase(&scene.place, &scene.chain, &shop);
    set_clock(&scene, -3_600);
    rpc(&scene.chain.url, "dev_resume", &json!([]));
    // A record from before its receipt would be refused by every verifier: it is dated as that is.
    shop.wait_for_metric("assay_transactions{state=\"settled\"} 1");
    assert_eq!(scene.payments(), 1);
    set_clock(&scene, 0);
    order.finish().expect(0);
    scene.ends(&shop, "an hour back while the settlement is under way", 1);
    shop.stop();
}
