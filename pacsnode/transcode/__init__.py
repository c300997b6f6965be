"""The child program that converts instances to other transfer syntaxes; nothing else imports it."""
