// What a user would write: an upload with busboy, its rows checked and kept once in a `Set`. Answers how many there are.
// Nothing is stored: the set is forgotten, as the peer is to be no slower than it must.
//
//     node upload_peer_node.js PORT NODE_MODULES
const [port, modules] = process.argv.slice(2);
const fs = require('fs');
const os = require('os');
const path = require('path');
const http = require('http');
const busboy = require(path.join(modules, 'busboy'));
const yauzl = require(path.join(modules, 'yauzl'));

class Checker {
  constructor() {
    this.rows = new Set();
    this.bad = [];
    this.number = 0;
    this.decoder = new TextDecoder('utf-8', { fatal: true });
    this.rest = '';
  }

  write(chunk) {
    const lines = (this.rest + this.decoder.decode(chunk, { stream: true })).split('\n');
    this.rest = lines.pop();
    for (const line of lines) this.line(line);
  }

  line(line) {
    this.number += 1;
    const row = line.trim();
    if (row.length === 0) return;
    if (row.length === 36) this.rows.add(row);
    else this.bad.push(this.number);
  }

  end() {
    this.line(this.rest + this.decoder.decode());
    if (this.bad.length) throw new Error(`${this.bad.length} bad rows: ${this.bad.slice(0, 10)}`);
    return this.rows.size;
  }
}

async function check(stream) {
  const checker = new Checker();
  for await (const chunk of stream) checker.write(chunk);
  return checker.end();
}

// A zip's directory is at its end, so the archive is kept until it is whole.
async function checkZip(stream) {
  const file = path.join(os.tmpdir(), `upload-${process.pid}-${Date.now()}.zip`);
  await require('stream/promises').pipeline(stream, fs.createWriteStream(file));
  try {
    return await new Promise((resolve, reject) => {
      yauzl.open(file, { lazyEntries: true }, (error, archive) => {
        if (error) return reject(error);
        archive.on('error', reject);
        archive.once('entry', (entry) => archive.openReadStream(entry, (error, text) => {
          if (error) return reject(error);
          check(text).then(resolve, reject);
        }));
        archive.readEntry();
      });
    });
  } finally {
    fs.unlinkSync(file);
  }
}

http.createServer((request, response) => {
  const form = busboy({ headers: request.headers });
  form.on('file', (name, stream, { filename }) => {
    (filename.endsWith('.zip') ? checkZip(stream) : check(stream)).then(
      (rows) => response.end(String(rows)),
      (error) => { response.statusCode = 400; response.end(error.message); stream.resume(); },
    );
  });
  request.pipe(form);
}).listen(Number(port), '127.0.0.1');
