//! What stands between two programs and does not always pass on what it gets.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

use serde_json::Value;

/// How often something that another thread does is looked for.
const POLL: Duration = Duration::from_millis(5);

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    Pass,
    /// Passes it on, and its answer so much later.
    Late(Duration),
    /// The line breaks before it arrives.
    Drop,
    /// The line breaks half-way through it.
    Half,
    /// It arrives, and who sent it goes away when [`Proxy::leave`] is called.
    Leave,
    /// It arrives, and the answer is lost.
    LoseAnswer,
    /// It does not arrive, and this is the answer.
    Say(u16, String),
    /// It arrives, and this is told in the place of the answer.
    SayInstead(u16, String),
}

type Act = Arc<dyn Fn(&Asked) -> Does + Send + Sync>;

/// A request.
#[derive(Debug)]
pub(crate) struct Asked {
    head: String,
    body: Vec<u8>,
}

/// A proxy. Nothing is accepted any more when it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    state: Arc<State>,
}

struct State {
    upstream: Mutex<String>,
    act: Mutex<Act>,
    /// How many requests did not simply pass.
    hits: AtomicUsize,
    leaves: AtomicBool,
    is_over: AtomicBool,
}

impl Proxy {
    pub(crate) fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            upstream: Mutex::new(host(url)),
            act: Mutex::new(Arc::new(|_| Does::Pass)),
            hits: AtomicUsize::new(0),
            leaves: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let shared = state.clone();
        spawn(move || {
            for stream in listener.incoming() {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), shared.clone());
                spawn(move || shared.serve(stream));
            }
        });
        Self { url: own, state }
    }

    /// Has every request from now on meet with this.
    pub(crate) fn does(&self, act: impl Fn(&Asked) -> Does + Send + Sync + 'static) {
        self.state.hits.store(0, Ordering::SeqCst);
        *self.state.act.lock().unwrap() = Arc::new(act);
    }

    pub(crate) fn mend(&self) {
        self.does(|_| Does::Pass);
    }

    /// Stands before another server from now on.
    pub(crate) fn now_to(&self, url: &str) {
        *self.state.upstream.lock().unwrap() = host(url);
    }

    /// Has who sent a request that was to [`Does::Leave`] go away.
    pub(crate) fn leave(&self) {
        self.state.leaves.store(true, Ordering::SeqCst);
    }

    /// Waits until so many requests did not simply pass.
    pub(crate) fn wait_for_hits(&self, hits: usize) {
        for _ in 0..6_000 {
            if self.state.hits.load(Ordering::SeqCst) >= hits {
                return;
            }
            sleep(POLL);
        }
        panic!("no {hits} requests met with the fault");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(host(&self.url));
    }
}

impl Asked {
    fn read(stream: &mut TcpStream) -> Option<Self> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 8_192]);
        loop {
            let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
            bytes.extend_from_slice(&buffer[..read]);
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = header(&head, "content-length").map_or(0, |text| text.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some(Self { head, body: bytes[end + 4..].to_vec() });
            }
        }
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// Returns the JSON-RPC method.
    pub(crate) fn method(&self) -> String {
        self.json()["method"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Says whether it pays.
    pub(crate) fn pays(&self) -> bool {
        header(&self.head, "payment-signature").is_some()
    }

    /// Returns the bytes that ask the same of another server, on a line for this request alone.
    fn forwarded(&self, host: &str) -> Vec<u8> {
        let mut lines = self.head.lines();
        let mut head = format!("{}\r\nHost: {host}\r\n", lines.next().unwrap());
        for line in lines {
            let name = line.split(':').next().unwrap().to_ascii_lowercase();
            if !matches!(name.as_str(), "host" | "connection") {
                head = format!("{head}{line}\r\n");
            }
        }
        [format!("{head}Connection: close\r\n\r\n").as_bytes(), &self.body].concat()
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let Some(asked) = Asked::read(&mut stream) else { return };
        let act = self.act.lock().unwrap().clone();
        let does = act(&asked);
        if !matches!(does, Does::Pass) {
            self.hits.fetch_add(1, Ordering::SeqCst);
        }
        let host = self.upstream.lock().unwrap().clone();
        let whole = asked.forwarded(&host);
        let answer = match does {
            Does::Pass => exchange(&host, &whole),
            Does::Late(time) => {
                let answer = exchange(&host, &whole);
                sleep(time);
                answer
            }
            Does::Drop => None,
            Does::Half => {
                let mut upstream = TcpStream::connect(&host).unwrap();
                upstream.write_all(&whole[..whole.len() - asked.body.len() / 2]).unwrap();
                upstream.shutdown(Shutdown::Both).unwrap();
                None
            }
            Does::Leave => {
                let mut upstream = TcpStream::connect(&host).unwrap();
                upstream.write_all(&whole).unwrap();
                while !self.leaves.load(Ordering::SeqCst) {
                    sleep(POLL);
                }
                None
            }
            Does::LoseAnswer => exchange(&host, &whole).and(None),
            Does::Say(status, body) => Some(said(status, &body)),
            Does::SayInstead(status, body) => exchange(&host, &whole).map(|_| said(status, &body)),
        };
        let _ = stream.write_all(&answer.unwrap_or_default());
    }
}

fn exchange(host: &str, request: &[u8]) -> Option<Vec<u8>> {
    let mut upstream = TcpStream::connect(host).ok()?;
    upstream.write_all(request).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    Some(answer)
}

fn said(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n");
    format!("{head}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn host(url: &str) -> String {
    url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned()
}
