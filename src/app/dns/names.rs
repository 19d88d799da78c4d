//! Names of codes, as the IANA registries have them.

const RCODES: &[(u16, &str)] = &[
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (6, "YXDOMAIN"),
    (7, "YXRRSET"),
    (8, "NXRRSET"),
    (9, "NOTAUTH"),
    (10, "NOTZONE"),
    (16, "BADVERS"),
    (17, "BADKEY"),
    (18, "BADTIME"),
    (23, "BADCOOKIE"),
];

const QTYPES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (24, "SIG"),
    (25, "KEY"),
    (28, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (37, "CERT"),
    (39, "DNAME"),
    (41, "OPT"),
    (43, "DS"),
    (44, "SSHFP"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (50, "NSEC3"),
    (52, "TLSA"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (99, "SPF"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
    (257, "CAA"),
];

/// RFC 8914 section 5.2 and the registry after it.
const ERRORS: &[(u16, &str)] = &[
    (0, "other error"),
    (1, "unsupported DNSKEY algorithm"),
    (2, "unsupported DS digest type"),
    (3, "stale answer"),
    (4, "forged answer"),
    (5, "DNSSEC indeterminate"),
    (6, "DNSSEC bogus"),
    (7, "signature expired"),
    (8, "signature not yet valid"),
    (9, "DNSKEY missing"),
    (10, "RRSIGs missing"),
    (11, "no zone key bit set"),
    (12, "NSEC missing"),
    (13, "cached error"),
    (14, "not ready"),
    (15, "blocked"),
    (16, "censored"),
    (17, "filtered"),
    (18, "prohibited"),
    (19, "stale NXDOMAIN answer"),
    (20, "not authoritative"),
    (21, "not supported"),
    (22, "no reachable authority"),
    (23, "network error"),
    (24, "invalid data"),
];

fn find(table: &[(u16, &'static str)], code: u16) -> Option<&'static str> {
    table.binary_search_by_key(&code, |(number, _)| *number).ok().map(|index| table[index].1)
}

/// Name of a response code, or `RCODE<n>`.
pub fn rcode_name(code: u16) -> String {
    find(RCODES, code).map_or_else(|| format!("RCODE{code}"), str::to_owned)
}

/// Name of a query type, or `TYPE<n>` (RFC 3597).
pub fn qtype_name(code: u16) -> String {
    find(QTYPES, code).map_or_else(|| format!("TYPE{code}"), str::to_owned)
}

/// Name of an extended error (RFC 8914), or `code <n>`.
pub fn error_name(code: u16) -> String {
    find(ERRORS, code).map_or_else(|| format!("code {code}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_unknown_codes_print_as_numbers() {
        for table in [RCODES, QTYPES, ERRORS] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
        assert_eq!(qtype_name(65), "HTTPS");
        assert_eq!(qtype_name(65_280), "TYPE65280");
        assert_eq!(rcode_name(2), "SERVFAIL");
        assert_eq!(error_name(22), "no reachable authority");
    }
}
