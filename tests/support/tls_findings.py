"""What sslscan, SSLyze and testssl.sh report about a TLS listener that it should not do: one line each; exit code 1 if any.

usage: tls_findings.py sslscan|sslyze|testssl REPORT
"""

import json
import sys
import xml.etree.ElementTree as ElementTree

# The test's own authority has no revocation service; testssl.sh 3.0 asks for tickets by TLS 1.2 only, and warns where it is
# not spoken.
NOT_THE_LISTENERS = {"cert_revocation", "OCSP_stapling", "sessionresumption_ticket"}
FORWARD_SECRET = ("ECDHE", "TLS_AES_", "TLS_CHACHA20_", "TLS_ECDHE_")


def sslscan(path):
    """Versions, suites, compression, renegotiation, Heartbleed."""
    test = ElementTree.parse(path).getroot().find("ssltest")
    if test is None:
        yield "nothing was scanned"
        return
    enabled = {(p.get("type"), p.get("version")) for p in test.iter("protocol") if p.get("enabled") == "1"}
    if not enabled or not enabled <= {("tls", "1.2"), ("tls", "1.3")}:
        yield f"versions: {sorted(enabled)}"
    suites = [(c.get("sslversion"), c.get("cipher")) for c in test.iter("cipher")]
    if not suites:
        yield "no suite was accepted"
    for version, suite in suites:
        if not suite.startswith(FORWARD_SECRET):
            yield f"{version} {suite} has no forward secrecy"
        if "CBC" in suite or suite.endswith("-SHA") or "-SHA256" in suite and "GCM" not in suite and "POLY1305" not in suite:
            yield f"{version} {suite} is no AEAD suite"
    for name, attribute in [("heartbleed", "vulnerable"), ("compression", "supported")]:
        for element in test.iter(name):
            if element.get(attribute) != "0":
                yield f"{name}: {element.attrib}"
    for element in test.iter("renegotiation"):
        if element.get("supported") == "1" and element.get("secure") != "1":
            yield f"renegotiation: {element.attrib}"


def sslyze(path):
    """Every scan command's result; a command that failed is a finding, too."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    for server in report["server_scan_results"]:
        if server["scan_status"] != "COMPLETED":
            yield f"{server['scan_status']}: {server.get('connectivity_error_trace')}"
            continue
        scans = server["scan_result"]
        results = {}
        for name, scan in scans.items():
            if scan["status"] == "COMPLETED":
                results[name] = scan["result"]
            elif scan["status"] != "NOT_SCHEDULED":
                yield f"{name}: {scan['status']} {scan.get('error_reason')}"
        for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"]:
            for accepted in results[f"{version}_cipher_suites"]["accepted_cipher_suites"]:
                yield f"{version}: {accepted['cipher_suite']['name']}"
        accepted = [
            accepted["cipher_suite"]["name"]
            for version in ["tls_1_2", "tls_1_3"]
            for accepted in results[f"{version}_cipher_suites"]["accepted_cipher_suites"]
        ]
        if not accepted:
            yield "no suite was accepted"
        for name in accepted:
            if not name.startswith(FORWARD_SECRET) or "_CBC" in name:
                yield f"suite {name}"
        if not results["tls_fallback_scsv"]["supports_fallback_scsv"] and any(
            results["tls_1_2_cipher_suites"]["accepted_cipher_suites"]
        ):
            yield "no TLS_FALLBACK_SCSV: a client can be talked down"
        for name, field, good in [
            ("heartbleed", "is_vulnerable_to_heartbleed", False),
            ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection", False),
            ("tls_compression", "supports_compression", False),
            ("tls_1_3_early_data", "supports_early_data", False),
            ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos", False),
        ]:
            if results[name][field] is not good:
                yield f"{name}: {field} is {results[name][field]}"
        if not results["robot"]["robot_result"].startswith("NOT_VULNERABLE"):
            yield f"robot: {results['robot']['robot_result']}"
        for deployment in results["certificate_info"]["certificate_deployments"]:
            if not deployment["received_chain_has_valid_order"]:
                yield "the chain is out of order"
            if deployment["verified_chain_has_sha1_signature"]:
                yield "the chain has a SHA-1 signature"
            if not any(result["was_validation_successful"] for result in deployment["path_validation_results"]):
                yield "the chain is not valid with the given authority"


def testssl(path):
    """Every finding of MEDIUM and above."""
    with open(path, encoding="utf-8") as file:
        findings = json.load(file)
    seen = {finding["id"]: finding["severity"] for finding in findings}
    # It was a whole scan, of a listener that answered.
    for version in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"]:
        if seen.get(version) not in ("OK", "INFO"):
            yield f"{version}: {seen.get(version)}"
    if seen.get("TLS1_3") != "OK":
        yield f"TLS1_3: {seen.get('TLS1_3')}"
    for finding in findings:
        if finding["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL", "WARN"):
            if finding["id"].split(" ")[0] not in NOT_THE_LISTENERS:
                yield f"{finding['severity']} {finding['id']}: {finding['finding']}"


def main():
    tool, path = sys.argv[1:3]
    found = list({"sslscan": sslscan, "sslyze": sslyze, "testssl": testssl}[tool](path))
    for line in found:
        print(f"      {line}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
