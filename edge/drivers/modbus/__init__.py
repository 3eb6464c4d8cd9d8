"""Modbus RTU, RTU over TCP and Modbus TCP transmitters; what a transmitter's registers mean is data."""
