// What all programs in JavaScript do with a socket that is like a browser's: see __init__.py.
'use strict';
globalThis.speak = (socket) => {
  let told = Promise.resolve();
  const tell = (line) => {
    told = told.then(async () => console.log(await line()));
  };
  socket.onopen = () => tell(() => `open ${socket.extensions ?? ''}`);
  socket.onmessage = ({data}) => tell(async () => {
    const bytes = new TextEncoder().encode(data);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
    return `message ${bytes.length} ${hex} ${bytes.length < 2000 ? data : ''}`;
  });
  socket.onclose = ({code, reason}) => tell(() => `closed ${code} ${reason}`);
  socket.onerror = (event) => tell(() => `failed ${event.message || event.error || ''}`);
};
