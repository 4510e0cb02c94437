/**
 * Makes calls that fail with ENOTTY, while the test's isolate makes others that fail with EBADF.
 *
 * @module
 */

import { openPath } from "../../ffi/descriptor.ts";
import { ENOTTY } from "../../ffi/errno.ts";
import { ioctl } from "../../ffi/ioctl.ts";

const CALLS = 300_000;
const UNKNOWN_REQUEST = 0x1234;

using file = openPath("/dev/null", 0);
let wrong = 0;
for (let i = 0; i < CALLS; i++) {
  if (ioctl(file.fd, UNKNOWN_REQUEST, null) !== -ENOTTY) wrong++;
}
self.postMessage({ wrong, calls: CALLS });
