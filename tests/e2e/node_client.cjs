// node node_client.cjs URL: sends each line of standard input, a JSON string, as a message; prints each message that
// comes, in one line, and what the connection was closed with. The end of the input closes the connection.
'use strict';
const readline = require('node:readline');
const WebSocket = require('ws');

const ws = new WebSocket(process.argv[2]);
ws.on('open', () => {
  const input = readline.createInterface({ input: process.stdin });
  input.on('line', (line) => ws.send(JSON.parse(line)));
  input.on('close', () => ws.close(1000));
});
ws.on('message', (data) => console.log(JSON.stringify(JSON.parse(data.toString()))));
ws.on('close', (code) => console.log(`closed with ${code}`));
