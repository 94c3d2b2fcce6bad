"""What throws changed input at the parts that read what strangers send, and checks that each is taken or refused."""
