"""A program for each client. All do the same: they connect to the URL that they are given, send each line of standard
input as a text message, and close with 1000 when it ends. They print a line for each thing that happens:

  - C{open EXTENSIONS}
  - C{message BYTES SHA256 TEXT}, the text only if it is short
  - C{closed CODE REASON}
  - C{failed WHY}

C{CLIENT_CA} is the file with the certificate that they trust, C{CLIENT_TLS} the one version of TLS that they speak;
they leave everything else that concerns TLS as their library has it. Those on Node and on `websockets` send a binary
message for the line C{binary}.
"""
