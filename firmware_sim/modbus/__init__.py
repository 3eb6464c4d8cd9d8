"""Modbus slaves in software, written from the Modbus Application Protocol V1.1b3 and Serial Line V1.02."""
