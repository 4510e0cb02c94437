import assert from "node:assert/strict";
import { openPath } from "../../ffi/descriptor.ts";
import { check, EACCES, EBADF, EINVAL, ENOENT, ENOTTY, SystemError } from "../../ffi/errno.ts";
import { ioctl } from "../../ffi/ioctl.ts";
import { openLibrary } from "../../ffi/library.ts";
import { write } from "../../ffi/write.ts";

const NO_DESCRIPTOR = -1;
const UNKNOWN_REQUEST = 0x1234;
const ITERATIONS = 300_000;

Deno.test("an error message tells the call, the error's name and meaning, and what to do", () => {
  const error = new SystemError(EACCES, `open("/dev/kvm")`);
  assert.equal(error.message, `open("/dev/kvm") failed: EACCES (permission denied)`);
  assert.deepEqual([error.code, error.errno, error.operation, error.name], [
    "EACCES",
    EACCES,
    `open("/dev/kvm")`,
    "SystemError",
  ]);
  assert.equal(
    new SystemError(EINVAL, "f()", "give it 1").message,
    "f() failed: EINVAL (invalid argument): give it 1",
  );
  assert.equal(new SystemError(9999, "f()").message, "f() failed: errno 9999");
});

Deno.test("check passes results on and throws errors", () => {
  assert.equal(check(0, "f()"), 0);
  assert.equal(check(7, "f()"), 7);
  assert.throws(() => check(-ENOENT, "f(1)"), { code: "ENOENT", errno: ENOENT, operation: "f(1)" });
});

Deno.test("errno is exact in optimised code that allocates between the calls", () => {
  using file = openPath("/dev/null", 0);
  const buffer = new Uint8Array(8);
  let garbage: unknown[] = [];
  let wrong = 0;
  for (let i = 0; i < ITERATIONS; i++) {
    const first = ioctl(NO_DESCRIPTOR, UNKNOWN_REQUEST, null);
    garbage.push({ first, text: `${i}` });
    const second = ioctl(file.fd, UNKNOWN_REQUEST, buffer);
    const third = write(file.fd, buffer, 8);
    if (first !== -EBADF || second !== -ENOTTY || third !== -EBADF) wrong++;
    if (garbage.length > 1000) garbage = [];
  }
  assert.equal(wrong, 0);
});

Deno.test("errno of one isolate is not that of another", async () => {
  const worker = new Worker(new URL("errno_worker.ts", import.meta.url), { type: "module" });
  try {
    let wrong = 0;
    let finished: { wrong: number; calls: number } | undefined;
    worker.onmessage = ({ data }) => finished = data;
    for (let calls = 0; finished === undefined || calls < ITERATIONS; calls++) {
      if (ioctl(NO_DESCRIPTOR, UNKNOWN_REQUEST, null) !== -EBADF) wrong++;
      if (calls % 10_000 === 0) await new Promise((resolve) => setTimeout(resolve));
    }
    assert.equal(wrong, 0);
    assert.equal(finished.wrong, 0);
    assert.ok(finished.calls > 0);
  } finally {
    worker.terminate();
  }
});

Deno.test("a function that the library lacks is told by name, with the remedy", () => {
  assert.throws(
    () => openLibrary({ no_such_function: { parameters: [], result: "void" } }),
    /Cannot open no_such_function of libc\.so\.6: the GNU C library 2\.30 or later/,
  );
});
