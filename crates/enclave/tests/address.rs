use assay_enclave::Address;
use proptest::prelude::*;

#[test]
fn an_address_is_tcp_or_vsock() {
    assert_eq!("tcp:127.0.0.1:5005".parse(), Ok(Address::Tcp(([127, 0, 0, 1], 5005).into())));
    let v6 = Address::Tcp((std::net::Ipv6Addr::LOCALHOST, 5005).into());
    assert_eq!("tcp:[::1]:5005".parse(), Ok(v6));
    assert_eq!("vsock:16:5005".parse(), Ok(Address::Vsock { cid: 16, port: 5005 }));
    let any = Address::Vsock { cid: u32::MAX, port: 0 };
    assert_eq!("vsock:4294967295:0".parse(), Ok(any));
}

#[test]
fn nothing_else_is_an_address() {
    for wrong in [
        "",
        ":",
        "tcp",
        "tcp:",
        "tcp:5005",
        "tcp:127.0.0.1",
        "tcp:127.0.0.1:",
        "tcp:127.0.0.1:65536",
        "tcp:localhost:5005",
        "tcp:::1:5005",
        "127.0.0.1:5005",
        "TCP:127.0.0.1:5005",
        " tcp:127.0.0.1:5005",
        "vsock:16",
        "vsock:16:",
        "vsock::5005",
        "vsock:16:5005:1",
        "vsock:4294967296:5005",
        "vsock:-1:5005",
        "vsock:+16:5005",
        "vsock:16:+5005",
        "vsock:016:5005",
        "vsock:16: 5005",
        "vsock:any:5005",
        "unix:/run/enclave",
    ] {
        let error = wrong.parse::<Address>().unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
    }
    let error = format!("tcp:\u{1b}[2J{}", "x".repeat(1_000)).parse::<Address>().unwrap_err();
    let error = error.to_string();
    assert!(error.len() < 256 && !error.contains('\u{1b}'), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_is_read(cid in any::<u32>(), port in any::<u32>(), ip in any::<[u8; 4]>(), p in any::<u16>()) {
        for address in [Address::Vsock { cid, port }, Address::Tcp((ip, p).into())] {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn texts_are_read_without_a_panic(text in "(tcp|vsock)?[:0-9.a-f\\[\\]+-]{0,24}") {
        if let Ok(address) = text.parse::<Address>()
            && let Address::Vsock { .. } = address
        {
            prop_assert_eq!(address.to_string(), text);
        }
    }
}
