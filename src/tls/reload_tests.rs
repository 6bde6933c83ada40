use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use super::super::policy::Policy;
use super::super::test_files::{Authority, Client, Directory, NOW, handshake, leaf_params};
use super::super::version::MinimumVersion;
use super::*;

struct Listener {
    directory: Directory,
    root: Authority,
    tls: ListenerTls,
}

fn settings(client_auth: ClientAuth) -> TlsSettings {
    let policy = Policy::new(MinimumVersion::Tls12, "intermediate").unwrap();
    TlsSettings { policy, client_auth, alpn: Vec::new(), server_order: false }
}

impl Listener {
    fn new() -> Self {
        Self::with(ClientAuth::None, None)
    }

    fn with(client_auth: ClientAuth, client_ca: Option<&Authority>) -> Self {
        let (directory, root) = (Directory::new(), Authority::root("r"));
        let (leaf, key) = root.issue(&["localhost"]);
        let files = TlsFiles {
            pairs: vec![directory.pair(&(leaf + &root.pem), &key)],
            client_ca: client_ca.map(|ca| directory.write("ca.pem", &ca.pem)),
            strictness: Strictness::Relaxed,
        };
        let (tls, warnings) = ListenerTls::load(files, settings(client_auth), NOW).unwrap();
        assert_eq!(warnings, []);
        Self { directory, root, tls }
    }

    fn install(&self, params: &CertificateParams) -> KeyPair {
        let key = KeyPair::generate().unwrap();
        self.directory.pair(&(self.root.sign(params, &key) + &self.root.pem), &key.serialize_pem());
        key
    }

    fn serial(&self) -> String {
        self.tls.status().certificates[0].serial.clone()
    }

    /// The serial number that a client sees.
    fn shown(&self) -> Vec<u8> {
        let client = Client::trusting(&self.root).config();
        handshake(self.tls.config(), client, "localhost").unwrap().1.peer_certificates().unwrap()[0].to_vec()
    }
}

#[test]
fn new_files_are_shown_to_new_connections_and_old_connections_stay() {
    let listener = Listener::new();
    let (serial, shown) = (listener.serial(), listener.shown());
    let (mut server, mut client) =
        handshake(listener.tls.config(), Client::trusting(&listener.root).config(), "localhost").unwrap();
    assert_eq!(listener.tls.reload(NOW).unwrap(), Reloaded::Unchanged);
    listener.install(&leaf_params(&["localhost", "new"]));
    assert_eq!(listener.tls.reload(NOW).unwrap(), Reloaded::Changed { warnings: Vec::new() });
    assert_ne!(listener.serial(), serial);
    assert_ne!(listener.shown(), shown);
    assert_eq!(listener.tls.status().certificates[0].names, ["localhost", "new"]);
    // The old connection still carries data.
    std::io::Write::write_all(&mut client.writer(), b"still here").unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    server.read_tls(&mut bytes.as_slice()).unwrap();
    server.process_new_packets().unwrap();
    let mut data = [0; 10];
    std::io::Read::read_exact(&mut server.reader(), &mut data).unwrap();
    assert_eq!(&data, b"still here");
    assert_eq!((listener.tls.status().reloads_ok, listener.tls.status().reloads_failed), (2, 0));
}

#[test]
fn bad_files_leave_the_old_certificate_in_use() {
    let listener = Listener::new();
    let (serial, shown) = (listener.serial(), listener.shown());
    let (other, _) = listener.root.issue(&["localhost"]);
    let mut expired = leaf_params(&["localhost"]);
    expired.not_after = date_time_ymd(2026, 1, 1);
    let write = |content: &str| drop(listener.directory.write("cert.pem", content));
    let faults: [(&dyn Fn(), Fault); 5] = [
        (&|| write(""), Fault::Empty),
        (&|| write("garbage"), Fault::NotPem),
        (&|| write(&other), Fault::KeyMismatch),
        (&|| drop(listener.install(&expired)), Fault::Expired),
        (&|| std::fs::remove_file(listener.directory.path("key.pem")).unwrap(), Fault::Unreadable),
    ];
    for (count, (break_it, fault)) in faults.iter().enumerate() {
        break_it();
        match listener.tls.reload(NOW) {
            Err(LoadError::Files(findings)) => {
                let errors: Vec<&Finding> =
                    findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
                assert_eq!((errors.len(), errors[0].fault), (1, *fault), "{findings:?}");
            }
            other => panic!("{fault:?}: {other:?}"),
        }
        assert_eq!((listener.serial(), listener.shown()), (serial.clone(), shown.clone()));
        assert_eq!(listener.tls.status().reloads_failed, count as u64 + 1);
    }
    listener.install(&leaf_params(&["localhost"]));
    assert!(matches!(listener.tls.reload(NOW), Ok(Reloaded::Changed { .. })));
}

#[test]
fn polling_reloads_once_the_files_have_settled() {
    let listener = Listener::new();
    assert!(listener.tls.poll(NOW).is_none());
    listener.install(&leaf_params(&["localhost"]));
    assert!(listener.tls.poll(NOW).is_none(), "it may still be written");
    assert!(matches!(listener.tls.poll(NOW), Some(Ok(Reloaded::Changed { .. }))));
    assert!(listener.tls.poll(NOW).is_none());
    listener.directory.write("key.pem", "garbage");
    assert!(listener.tls.poll(NOW).is_none());
    assert!(matches!(listener.tls.poll(NOW), Some(Err(_))));
    assert!(listener.tls.poll(NOW).is_none(), "a bad file is reported once");
    assert!(listener.tls.poll(NOW).is_none());
}

#[test]
fn a_reload_by_hand_leaves_nothing_to_poll() {
    let listener = Listener::new();
    listener.install(&leaf_params(&["localhost"]));
    listener.tls.reload(NOW).unwrap();
    assert!(listener.tls.poll(NOW).is_none());
    assert!(listener.tls.poll(NOW).is_none());
}

fn client_of(ca: &Authority, root: &Authority) -> Arc<rustls::ClientConfig> {
    let key = KeyPair::generate().unwrap();
    let mut params = leaf_params(&["device"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Client { shows: Some((ca.sign(&params, &key), key.serialize_pem())), ..Client::trusting(root) }.config()
}

#[test]
fn other_client_authorities_end_the_sessions_of_the_old_ones() {
    let (old, new) = (Authority::root("old"), Authority::root("new"));
    let listener = Listener::with(ClientAuth::Required, Some(&old));
    let (of_old, of_new) = (client_of(&old, &listener.root), client_of(&new, &listener.root));
    let accepts =
        |client: &Arc<rustls::ClientConfig>| handshake(listener.tls.config(), client.clone(), "localhost").is_ok();
    assert!(accepts(&of_old) && !accepts(&of_new));
    listener.directory.write("ca.pem", &new.pem);
    assert!(matches!(listener.tls.reload(NOW), Ok(Reloaded::Changed { .. })));
    assert!(!accepts(&of_old), "not with a ticket from before either");
    assert!(accepts(&of_new));
    listener.directory.write("ca.pem", "");
    assert!(listener.tls.reload(NOW).is_err());
    assert!(accepts(&of_new));
}

#[test]
fn a_start_with_faults_names_them() {
    let (directory, root) = (Directory::new(), Authority::root("r"));
    let (leaf, key) = root.issue(&["localhost"]);
    let pair = directory.pair(&(leaf + &root.pem), &key);
    let files = |pairs: Vec<CertificateFiles>| TlsFiles { pairs, client_ca: None, strictness: Strictness::Production };
    let load = |files, settings| ListenerTls::load(files, settings, NOW).map(drop);
    assert!(matches!(load(files(vec![]), settings(ClientAuth::None)), Err(LoadError::Set(SetError::None))));
    let result = load(files(vec![pair.clone()]), settings(ClientAuth::Required));
    assert!(matches!(result, Err(LoadError::Settings(BuildError::NoAuthorities { .. }))));
    let policy = Policy::new(MinimumVersion::Tls12, "ECDHE+aRSA").unwrap();
    let error = load(files(vec![pair.clone()]), TlsSettings { policy, ..settings(ClientAuth::None) }).unwrap_err();
    assert!(error.to_string().contains("ECDSA P-256"), "{error}");
    super::super::test_files::set_mode(&pair.key, 0o644);
    let error = load(files(vec![pair]), settings(ClientAuth::None)).unwrap_err().to_string();
    assert!(error.contains("key.pem") && error.contains("0644"), "{error}");
    let mut missing = files(vec![]);
    missing.client_ca = Some(directory.path("none.pem"));
    assert!(matches!(load(missing, settings(ClientAuth::None)), Err(LoadError::Files(_))));
}

#[test]
fn status_tells_what_is_in_use() {
    let listener = Listener::new();
    let status = listener.tls.status();
    assert_eq!((status.minimum_version, status.client_auth), ("TLSv1_2", ClientAuth::None));
    assert_eq!(status.suites.len(), 9);
    assert_eq!(status.certificates[0].names, ["localhost"]);
    assert_eq!((status.reloads_ok, status.reloads_failed), (0, 0));
}
