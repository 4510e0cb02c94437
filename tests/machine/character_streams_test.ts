import assert from "node:assert/strict";
import { CharacterStreams } from "../../src/machine/character_streams.ts";
import {
  CREDIT_BASE,
  type FromMachine,
  INPUT_CREDIT_BASE,
  SHARED_BYTES,
  STREAM_HIGH_WATER,
  STREAM_LIMIT,
} from "../../src/machine/protocol.ts";

const text = (characters: string) => new TextEncoder().encode(characters);

function setUp() {
  const shared = new SharedArrayBuffer(SHARED_BYTES);
  const posted: FromMachine[] = [];
  const streams = new CharacterStreams(shared, (message) => posted.push(message));
  const output = (stream: number) =>
    posted.flatMap((message) => message.type === "output" && message.stream === stream ? [...message.data] : []);
  return { words: new Int32Array(shared), posted, streams, output };
}

Deno.test("what goes nowhere is taken at once", () => {
  const { streams, posted } = setUp();
  const stream = streams.open("null");
  assert.equal(stream.write(new Uint8Array(STREAM_HIGH_WATER + 1)), true);
  assert.equal(stream.read(new Uint8Array(1)), 0);
  assert.deepEqual(posted, []);
});

Deno.test("a file gets all bytes, replaces what was there, and is closed in the end", () => {
  const path = Deno.makeTempFileSync({ prefix: "denovisor_streams_" });
  try {
    Deno.writeTextFileSync(path, "what was there before");
    const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
    const before = open();
    const { streams } = setUp();
    const stream = streams.open(`file=${path}`);
    assert.equal(stream.write(text("hello ")), true);
    assert.equal(stream.write(text("world")), true);
    assert.equal(Deno.readTextFileSync(path), "hello world");
    streams[Symbol.dispose]();
    assert.equal(open(), before);
  } finally {
    Deno.removeSync(path);
  }
  assert.throws(() => setUp().streams.open("file=/nowhere/at/all"), { message: /nowhere.*ENOENT.*check the path/s });
});

Deno.test("a machine that is started anew adds to its files", () => {
  const path = Deno.makeTempFileSync({ prefix: "denovisor_streams_" });
  try {
    for (const isReboot of [false, true]) {
      using streams = new CharacterStreams(new SharedArrayBuffer(SHARED_BYTES), () => {}, isReboot);
      streams.open(`file=${path}`).write(text("started "));
    }
    assert.equal(Deno.readTextFileSync(path), "started started ");
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("forwarded output is batched up to the end of a line, and in order", () => {
  const { streams, posted, output } = setUp();
  const stream = streams.open("tty");
  assert.deepEqual(posted, [{ type: "stream", stream: 0, name: "tty" }]);
  stream.write(text("a prompt"));
  assert.deepEqual(output(0), []);
  stream.write(text(" and a line\n"));
  assert.deepEqual(output(0), [...text("a prompt and a line\n")]);
  stream.write(text("rest"));
  streams.flush();
  stream.write(new Uint8Array(5000).fill(1));
  stream.write(text("x"));
  stream.write(new Uint8Array(4096).fill(2));
  streams[Symbol.dispose]();
  const all = [...text("a prompt and a line\nrest"), ...Array(5000).fill(1), ...text("x"), ...Array(4096).fill(2)];
  assert.deepEqual(output(0), all);
});

Deno.test("what was written is copied: its writer may reuse it at once", () => {
  const { streams, output } = setUp();
  const stream = streams.open("tty");
  for (const length of [10, 5000]) {
    const data = new Uint8Array(length).fill(7);
    stream.write(data);
    data.fill(0);
  }
  streams.flush();
  assert.ok(output(0).every((byte) => byte === 7));
});

Deno.test("a receiver that falls behind holds the writer back until it has caught up", () => {
  const { words, streams } = setUp();
  const stream = streams.open("tty");
  let calls = 0;
  stream.onWritable = () => calls++;
  const piece = new Uint8Array(65_536);
  for (let sent = piece.length; sent < STREAM_HIGH_WATER; sent += piece.length) assert.equal(stream.write(piece), true);
  assert.equal(stream.write(piece), false);
  assert.equal(words[CREDIT_BASE], STREAM_HIGH_WATER);
  words[CREDIT_BASE] = 0;
  streams.drained(0);
  streams.drained(0);
  assert.equal(calls, 1, "once per time that it was held back");
  assert.equal(stream.write(piece), true);
});

Deno.test("input is read in pieces of any size, and its sender hears when there is room", () => {
  const { words, posted, streams } = setUp();
  const stream = streams.open("tty");
  let calls = 0;
  stream.onReadable = () => calls++;
  const pieces = [text("ab"), text("cdefg"), new Uint8Array(STREAM_HIGH_WATER)];
  for (const data of pieces) {
    words[INPUT_CREDIT_BASE] += data.length;
    streams.input(0, data);
  }
  assert.equal(calls, 3);
  const into = new Uint8Array(4);
  assert.equal(stream.read(into), 4);
  assert.equal(new TextDecoder().decode(into), "abcd");
  assert.equal(stream.read(into.subarray(0, 3)), 3);
  assert.equal(new TextDecoder().decode(into.subarray(0, 3)), "efg");
  assert.equal(posted.filter(({ type }) => type === "input-drained").length, 0);
  assert.equal(stream.read(into), 4);
  assert.deepEqual(posted.at(-1), { type: "input-drained", stream: 0 });
  assert.equal(stream.read(new Uint8Array(2 * STREAM_HIGH_WATER)), STREAM_HIGH_WATER - 4);
  assert.equal(stream.read(into), 0);
  assert.equal(words[INPUT_CREDIT_BASE], 0);
  assert.equal(posted.filter(({ type }) => type === "input-drained").length, 1);
});

Deno.test("the terminal's size is told", () => {
  const { streams } = setUp();
  const stream = streams.open("tty");
  let calls = 0;
  stream.onResize = () => calls++;
  assert.deepEqual([stream.columns, stream.rows], [0, 0]);
  streams.resize(0, 132, 50);
  assert.deepEqual([stream.columns, stream.rows, calls], [132, 50, 1]);
});

Deno.test("messages for streams that do not exist are ignored", () => {
  const { streams } = setUp();
  streams.input(3, text("x"));
  streams.resize(3, 1, 1);
  streams.drained(3);
});

Deno.test("there is a limit to forwarded streams, and the message says so", () => {
  const { streams } = setUp();
  for (let i = 0; i < STREAM_LIMIT; i++) streams.open(`stream ${i}`);
  assert.throws(() => streams.open("one more"), {
    message: `Cannot open the character stream "one more": a machine has at most ${STREAM_LIMIT} of them`,
  });
  streams.open("null");
});

Deno.test("ROB-2: what the owner of a stream throws when called back is told, by operation", () => {
  const { streams } = setUp();
  const failures: string[] = [];
  const stream = streams.open("tty", (operation, cause) => failures.push(`${operation}: ${(cause as Error).message}`));
  const fail = () => {
    throw new Error("oops");
  };
  stream.onReadable = stream.onResize = stream.onWritable = fail;
  streams.input(0, text("x"));
  streams.resize(0, 1, 1);
  stream.write(new Uint8Array(STREAM_HIGH_WATER));
  streams.drained(0);
  assert.deepEqual(failures, ["onReadable: oops", "onResize: oops", "onWritable: oops"]);
});
