#!/usr/bin/env python3
"""sanitizer_reports.py - fails when build/asan/sanitized, or tsan's, had something to report.

    tests/sanitizer_reports.py [--build DIR] BANTAM

For tests/run_all, behind the programs that ran BANTAM. One line; the last line counts it.
"""

import sys

from harness import Tally, reports

text, tally = reports(sys.argv[-1]), Tally()
tally.result('no reports', text and '%d lines' % text.count('\n'), 0, [('report', text)])
sys.exit(tally.close())
