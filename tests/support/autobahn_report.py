"""Sums up a report of Autobahn's test suite: how many cases behaved and closed in which way; exit 1 when one FAILED."""

import collections
import json
import sys

# Of a case's end the suite says as well whether the close was clean.
GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")


def main(path):
    with open(path, encoding="utf-8") as report:
        (cases,) = json.load(report).values()
    counts = collections.Counter(case["behavior"] for case in cases.values())
    closes = collections.Counter(case["behaviorClose"] for case in cases.values())

    def key(name):
        return [int(part) for part in name.split(".")]

    for name in sorted(cases, key=key):
        case = cases[name]
        if case["behavior"] != "OK" or case["behaviorClose"] not in GOOD:
            print(f"{name:10} {case['behavior']}, close {case['behaviorClose']} (code {case['remoteCloseCode']})")
    told = ", ".join(f"{count} {what}" for what, count in counts.most_common())
    print(f"{len(cases)} cases: {told}; closes: {', '.join(f'{count} {what}' for what, count in closes.most_common())}")
    bad = [name for name, case in cases.items() if {case["behavior"], case["behaviorClose"]} - set(GOOD)]
    return 1 if bad or not cases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
