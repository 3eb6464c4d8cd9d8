"""User information transmission devices (用户信息传输装置) in software, written from GB/T 26875.3-2011."""
