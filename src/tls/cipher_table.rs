//! The TLS 1.2 suites and the words that an OpenSSL cipher string selects them by, as data.
//!
//! The order of the suites is OpenSSL's own order of preference before a string is applied. Suites with pre-shared
//! keys, passwords (SRP), ARIA, Camellia and ciphers that current OpenSSL builds no longer hold have no row: their words
//! are known and select nothing.

const KRSA: u16 = 1;
const DHE: u16 = 1 << 1;
const ECDHE: u16 = 1 << 2;
const ARSA: u16 = 1;
const AECDSA: u16 = 1 << 1;
const ADSS: u16 = 1 << 2;
const ANULL: u16 = 1 << 3;
const AES128GCM: u16 = 1;
const AES256GCM: u16 = 1 << 1;
const AES128CCM: u16 = 1 << 2;
const AES256CCM: u16 = 1 << 3;
const AES128CCM8: u16 = 1 << 4;
const AES256CCM8: u16 = 1 << 5;
const AES128: u16 = 1 << 6;
const AES256: u16 = 1 << 7;
const CHACHA20: u16 = 1 << 8;
const ENULL: u16 = 1 << 9;
const AEAD: u16 = 1;
const SHA1: u16 = 1 << 1;
const SHA256: u16 = 1 << 2;
const SHA384: u16 = 1 << 3;
const MD5: u16 = 1 << 4;
const SSL3: u16 = 1;
const TLS10: u16 = 1 << 1;
const TLS12: u16 = 1 << 2;
const HIGH: u16 = 1;
const NOT_DEFAULT: u16 = 1;
const FIPS: u16 = 1;
/// A property that no suite of the table has.
const NO_ROW: u16 = 1 << 15;

const CCM: u16 = AES128CCM | AES256CCM | AES128CCM8 | AES256CCM8;
const AES_128: u16 = AES128GCM | AES128CCM | AES128CCM8 | AES128;
const AES_256: u16 = AES256GCM | AES256CCM | AES256CCM8 | AES256;

/// Bits per property: of a suite exactly one (or none), of a word those that it admits; zero admits all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Properties {
    pub(super) exchange: u16,
    pub(super) authentication: u16,
    pub(super) encryption: u16,
    pub(super) mac: u16,
    pub(super) version: u16,
    pub(super) strength: u16,
    pub(super) not_default: u16,
    pub(super) fips: u16,
}

/// Admits every suite.
pub(super) const ANY: Properties = Properties {
    exchange: 0,
    authentication: 0,
    encryption: 0,
    mac: 0,
    version: 0,
    strength: 0,
    not_default: 0,
    fips: 0,
};

impl Properties {
    fn fields(self) -> [u16; 8] {
        [
            self.exchange,
            self.authentication,
            self.encryption,
            self.mac,
            self.version,
            self.strength,
            self.not_default,
            self.fips,
        ]
    }

    /// Whether these admit a suite with those properties.
    pub(super) fn admit(self, suite: Self) -> bool {
        self.fields().iter().zip(suite.fields()).all(|(&admitted, has)| admitted == 0 || admitted & has != 0)
    }

    /// What both admit; `None` if they contradict each other.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        let both = |a: u16, b: u16| match (a, b) {
            (0, bits) | (bits, 0) => Some(bits),
            (a, b) if a & b == 0 => None,
            (a, b) => Some(a & b),
        };
        Some(Self {
            exchange: both(self.exchange, other.exchange)?,
            authentication: both(self.authentication, other.authentication)?,
            encryption: both(self.encryption, other.encryption)?,
            mac: both(self.mac, other.mac)?,
            version: both(self.version, other.version)?,
            strength: both(self.strength, other.strength)?,
            not_default: both(self.not_default, other.not_default)?,
            fips: both(self.fips, other.fips)?,
        })
    }
}

/// A suite that OpenSSL knows.
#[derive(Debug)]
pub(super) struct Suite {
    /// OpenSSL's name.
    pub(super) openssl: &'static str,
    /// The name of the IANA registry.
    pub(super) iana: &'static str,
    pub(super) properties: Properties,
}

impl Suite {
    /// Bits of the symmetric key, for `@STRENGTH`.
    pub(super) fn strength_bits(&self) -> u16 {
        match self.properties.encryption {
            ENULL => 0,
            bits if bits & AES_128 != 0 => 128,
            _ => 256,
        }
    }
}

const fn cbc(
    openssl: &'static str,
    iana: &'static str,
    exchange: u16,
    authentication: u16,
    encryption: u16,
    mac: u16,
    version: u16,
) -> Suite {
    let is_null = encryption == ENULL;
    let is_aes = encryption & (AES_128 | AES_256) != 0;
    let is_ccm = encryption & CCM != 0;
    let is_unusual = is_ccm || (authentication & (ADSS | ANULL) != 0 && !is_null);
    let strength = if is_null { 0 } else { HIGH };
    let fips = if is_aes && !is_ccm { FIPS } else { 0 };
    let not_default = if is_unusual { NOT_DEFAULT } else { 0 };
    let properties = Properties { exchange, authentication, encryption, mac, version, strength, not_default, fips };
    Suite { openssl, iana, properties }
}

const fn aead(openssl: &'static str, iana: &'static str, exchange: u16, authentication: u16, encryption: u16) -> Suite {
    cbc(openssl, iana, exchange, authentication, encryption, AEAD, TLS12)
}

pub(super) static SUITES: [Suite; 59] = [
    aead("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", ECDHE, AECDSA, AES256GCM),
    aead("ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", ECDHE, ARSA, AES256GCM),
    aead("DHE-DSS-AES256-GCM-SHA384", "TLS_DHE_DSS_WITH_AES_256_GCM_SHA384", DHE, ADSS, AES256GCM),
    aead("DHE-RSA-AES256-GCM-SHA384", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", DHE, ARSA, AES256GCM),
    aead("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", ECDHE, AECDSA, CHACHA20),
    aead("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", ECDHE, ARSA, CHACHA20),
    aead("DHE-RSA-CHACHA20-POLY1305", "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", DHE, ARSA, CHACHA20),
    aead("ECDHE-ECDSA-AES256-CCM8", "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", ECDHE, AECDSA, AES256CCM8),
    aead("ECDHE-ECDSA-AES256-CCM", "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", ECDHE, AECDSA, AES256CCM),
    aead("DHE-RSA-AES256-CCM8", "TLS_DHE_RSA_WITH_AES_256_CCM_8", DHE, ARSA, AES256CCM8),
    aead("DHE-RSA-AES256-CCM", "TLS_DHE_RSA_WITH_AES_256_CCM", DHE, ARSA, AES256CCM),
    aead("ADH-AES256-GCM-SHA384", "TLS_DH_anon_WITH_AES_256_GCM_SHA384", DHE, ANULL, AES256GCM),
    aead("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", ECDHE, AECDSA, AES128GCM),
    aead("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ECDHE, ARSA, AES128GCM),
    aead("DHE-DSS-AES128-GCM-SHA256", "TLS_DHE_DSS_WITH_AES_128_GCM_SHA256", DHE, ADSS, AES128GCM),
    aead("DHE-RSA-AES128-GCM-SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", DHE, ARSA, AES128GCM),
    aead("ECDHE-ECDSA-AES128-CCM8", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", ECDHE, AECDSA, AES128CCM8),
    aead("ECDHE-ECDSA-AES128-CCM", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", ECDHE, AECDSA, AES128CCM),
    aead("DHE-RSA-AES128-CCM8", "TLS_DHE_RSA_WITH_AES_128_CCM_8", DHE, ARSA, AES128CCM8),
    aead("DHE-RSA-AES128-CCM", "TLS_DHE_RSA_WITH_AES_128_CCM", DHE, ARSA, AES128CCM),
    aead("ADH-AES128-GCM-SHA256", "TLS_DH_anon_WITH_AES_128_GCM_SHA256", DHE, ANULL, AES128GCM),
    cbc("ECDHE-ECDSA-AES256-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", ECDHE, AECDSA, AES256, SHA384, TLS12),
    cbc("ECDHE-RSA-AES256-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", ECDHE, ARSA, AES256, SHA384, TLS12),
    cbc("DHE-RSA-AES256-SHA256", "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", DHE, ARSA, AES256, SHA256, TLS12),
    cbc("DHE-DSS-AES256-SHA256", "TLS_DHE_DSS_WITH_AES_256_CBC_SHA256", DHE, ADSS, AES256, SHA256, TLS12),
    cbc("ADH-AES256-SHA256", "TLS_DH_anon_WITH_AES_256_CBC_SHA256", DHE, ANULL, AES256, SHA256, TLS12),
    cbc("ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", ECDHE, AECDSA, AES128, SHA256, TLS12),
    cbc("ECDHE-RSA-AES128-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", ECDHE, ARSA, AES128, SHA256, TLS12),
    cbc("DHE-RSA-AES128-SHA256", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", DHE, ARSA, AES128, SHA256, TLS12),
    cbc("DHE-DSS-AES128-SHA256", "TLS_DHE_DSS_WITH_AES_128_CBC_SHA256", DHE, ADSS, AES128, SHA256, TLS12),
    cbc("ADH-AES128-SHA256", "TLS_DH_anon_WITH_AES_128_CBC_SHA256", DHE, ANULL, AES128, SHA256, TLS12),
    cbc("ECDHE-ECDSA-AES256-SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", ECDHE, AECDSA, AES256, SHA1, TLS10),
    cbc("ECDHE-RSA-AES256-SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", ECDHE, ARSA, AES256, SHA1, TLS10),
    cbc("DHE-RSA-AES256-SHA", "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", DHE, ARSA, AES256, SHA1, SSL3),
    cbc("DHE-DSS-AES256-SHA", "TLS_DHE_DSS_WITH_AES_256_CBC_SHA", DHE, ADSS, AES256, SHA1, SSL3),
    cbc("AECDH-AES256-SHA", "TLS_ECDH_anon_WITH_AES_256_CBC_SHA", ECDHE, ANULL, AES256, SHA1, TLS10),
    cbc("ADH-AES256-SHA", "TLS_DH_anon_WITH_AES_256_CBC_SHA", DHE, ANULL, AES256, SHA1, SSL3),
    cbc("ECDHE-ECDSA-AES128-SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", ECDHE, AECDSA, AES128, SHA1, TLS10),
    cbc("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", ECDHE, ARSA, AES128, SHA1, TLS10),
    cbc("DHE-RSA-AES128-SHA", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", DHE, ARSA, AES128, SHA1, SSL3),
    cbc("DHE-DSS-AES128-SHA", "TLS_DHE_DSS_WITH_AES_128_CBC_SHA", DHE, ADSS, AES128, SHA1, SSL3),
    cbc("AECDH-AES128-SHA", "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", ECDHE, ANULL, AES128, SHA1, TLS10),
    cbc("ADH-AES128-SHA", "TLS_DH_anon_WITH_AES_128_CBC_SHA", DHE, ANULL, AES128, SHA1, SSL3),
    cbc("ECDHE-ECDSA-NULL-SHA", "TLS_ECDHE_ECDSA_WITH_NULL_SHA", ECDHE, AECDSA, ENULL, SHA1, TLS10),
    cbc("ECDHE-RSA-NULL-SHA", "TLS_ECDHE_RSA_WITH_NULL_SHA", ECDHE, ARSA, ENULL, SHA1, TLS10),
    cbc("AECDH-NULL-SHA", "TLS_ECDH_anon_WITH_NULL_SHA", ECDHE, ANULL, ENULL, SHA1, TLS10),
    aead("AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384", KRSA, ARSA, AES256GCM),
    aead("AES256-CCM8", "TLS_RSA_WITH_AES_256_CCM_8", KRSA, ARSA, AES256CCM8),
    aead("AES256-CCM", "TLS_RSA_WITH_AES_256_CCM", KRSA, ARSA, AES256CCM),
    aead("AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256", KRSA, ARSA, AES128GCM),
    aead("AES128-CCM8", "TLS_RSA_WITH_AES_128_CCM_8", KRSA, ARSA, AES128CCM8),
    aead("AES128-CCM", "TLS_RSA_WITH_AES_128_CCM", KRSA, ARSA, AES128CCM),
    cbc("AES256-SHA256", "TLS_RSA_WITH_AES_256_CBC_SHA256", KRSA, ARSA, AES256, SHA256, TLS12),
    cbc("AES128-SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA256", KRSA, ARSA, AES128, SHA256, TLS12),
    cbc("NULL-SHA256", "TLS_RSA_WITH_NULL_SHA256", KRSA, ARSA, ENULL, SHA256, TLS12),
    cbc("AES256-SHA", "TLS_RSA_WITH_AES_256_CBC_SHA", KRSA, ARSA, AES256, SHA1, SSL3),
    cbc("AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA", KRSA, ARSA, AES128, SHA1, SSL3),
    cbc("NULL-SHA", "TLS_RSA_WITH_NULL_SHA", KRSA, ARSA, ENULL, SHA1, SSL3),
    cbc("NULL-MD5", "TLS_RSA_WITH_NULL_MD5", KRSA, ARSA, ENULL, MD5, SSL3),
];

/// Names of TLS 1.3: no cipher string selects them, but one may name them.
pub(super) static TLS13_NAMES: [&str; 5] = [
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
];

/// What a word of a cipher string admits; `None` for a word that is none.
pub(super) fn keyword(word: &str) -> Option<Properties> {
    let exchange = |exchange| Properties { exchange, ..ANY };
    let authentication = |authentication| Properties { authentication, ..ANY };
    let encryption = |encryption| Properties { encryption, ..ANY };
    let mac = |mac| Properties { mac, ..ANY };
    let version = |version| Properties { version, ..ANY };
    let pair = |exchange, authentication| Properties { exchange, authentication, ..ANY };
    Some(match word {
        "ALL" => encryption(!ENULL),
        "COMPLEMENTOFALL" | "eNULL" | "NULL" => encryption(ENULL),
        "COMPLEMENTOFDEFAULT" => Properties { not_default: NOT_DEFAULT, ..ANY },
        "HIGH" => Properties { strength: HIGH, ..ANY },
        "MEDIUM" | "LOW" | "EXP" | "EXPORT" | "EXPORT40" | "EXPORT56" => Properties { strength: NO_ROW, ..ANY },
        "FIPS" => Properties { fips: FIPS, ..ANY },
        "kRSA" => exchange(KRSA),
        "kEDH" | "kDHE" | "DH" => exchange(DHE),
        "kEECDH" | "kECDHE" | "ECDH" => exchange(ECDHE),
        "EDH" | "DHE" => pair(DHE, !ANULL),
        "EECDH" | "ECDHE" => pair(ECDHE, !ANULL),
        "RSA" => pair(KRSA, ARSA),
        "ADH" => pair(DHE, ANULL),
        "AECDH" => pair(ECDHE, ANULL),
        "kDH" | "kDHr" | "kDHd" | "kECDH" | "kECDHr" | "kECDHe" | "kPSK" | "kRSAPSK" | "kDHEPSK" | "kECDHEPSK"
        | "PSK" | "kSRP" | "SRP" | "kGOST" | "kGOST18" | "kKRB5" | "KRB5" | "kFZA" | "FZA" => exchange(NO_ROW),
        "aRSA" => authentication(ARSA),
        "aECDSA" | "ECDSA" => authentication(AECDSA),
        "aDSS" | "DSS" => authentication(ADSS),
        "aNULL" => authentication(ANULL),
        "aDH" | "aECDH" | "aPSK" | "aSRP" | "aKRB5" | "aGOST" | "aGOST01" | "aGOST12" => authentication(NO_ROW),
        "AES" => encryption(AES_128 | AES_256),
        "AES128" => encryption(AES_128),
        "AES256" => encryption(AES_256),
        "AESGCM" => encryption(AES128GCM | AES256GCM),
        "AESCCM" => encryption(CCM),
        "AESCCM8" => encryption(AES128CCM8 | AES256CCM8),
        "CHACHA20" => encryption(CHACHA20),
        "CBC" => encryption(AES128 | AES256),
        "3DES" | "DES" | "RC4" | "RC2" | "IDEA" | "SEED" | "CAMELLIA" | "CAMELLIA128" | "CAMELLIA256" | "ARIA"
        | "ARIA128" | "ARIA256" | "ARIAGCM" | "GOST89" => encryption(NO_ROW),
        "SHA1" | "SHA" => mac(SHA1),
        "SHA256" => mac(SHA256),
        "SHA384" => mac(SHA384),
        "MD5" => mac(MD5),
        "GOST94" | "GOST89MAC" => mac(NO_ROW),
        "TLSv1.2" => version(TLS12),
        "TLSv1" | "TLSv1.0" => version(TLS10),
        "SSLv3" => version(SSL3),
        "SSLv2" => version(NO_ROW),
        _ => return None,
    })
}

/// Whether a name is put together like that of a suite whose cipher or key exchange has no row here.
pub(super) fn is_name_without_row(name: &str) -> bool {
    const LEGACY: [&str; 22] = [
        "DES",
        "CBC3",
        "3DES",
        "DES40",
        "RC4",
        "RC2",
        "IDEA",
        "SEED",
        "EXP",
        "EXPORT",
        "KRB5",
        "PSK",
        "SRP",
        "MD5",
        "CAMELLIA",
        "CAMELLIA128",
        "CAMELLIA256",
        "ARIA",
        "ARIA128",
        "ARIA256",
        "GOST",
        "GOST2012",
    ];
    const COMMON: [&str; 27] = [
        "TLS", "SSL", "WITH", "RSA", "DSS", "ECDSA", "DH", "DHE", "EDH", "ECDH", "ECDHE", "ADH", "AECDH", "anon",
        "CBC", "GCM", "CCM", "CCM8", "SHA", "SHA256", "SHA384", "AES", "AES128", "AES256", "CHACHA20", "POLY1305",
        "NULL",
    ];
    const NUMBERS: [&str; 5] = ["40", "56", "128", "256", "EDE"];
    let parts = || name.split(['-', '_']);
    parts().count() > 1
        && parts().any(|part| LEGACY.contains(&part))
        && parts().all(|part| LEGACY.contains(&part) || COMMON.contains(&part) || NUMBERS.contains(&part))
}
