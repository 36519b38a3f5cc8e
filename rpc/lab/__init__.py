"""The lab: what tests the runtime and does not run with it.

Random histories with faults (`simulate`), clients that mean harm (`hostile`), and the rules of
paying with the test of each (`rules`). Nothing outside of it imports it but the command.
"""
