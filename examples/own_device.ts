/**
 * A machine with a device of our own, whose module lies in this script's folder, and with a disk that is made for the occasion.
 * The embedded guest examines both.
 *
 *     deno run -A examples/own_device.ts
 *
 * @module
 */
import { VirtualMachine } from "@denovisor/denovisor";
import { guestImage } from "../guest/image.ts";

const image = await Deno.makeTempFile({ suffix: ".img" });
await Deno.truncate(image, 2 ** 20);
try {
  let report = "";
  const decoder = new TextDecoder();
  await using vm = await VirtualMachine.launch({
    kernel: guestImage(),
    cmdline: "mode=probe write=1",
    memory: "64M",
    timeoutSeconds: 60,
    disks: [{ path: image }],
    devices: [{ plugin: import.meta.resolve("./devices/counter.ts"), id: "counter", options: { start: 100 } }],
  }, {
    onOutput: ({ stream, data }) => {
      if (stream === "debug") report += decoder.decode(data, { stream: true });
    },
    onLog: ({ device, message }) => console.error(`${device}: ${message}`),
  });
  const { ending, statistics } = await vm.ended;
  console.log(`${report.match(/^check\tPASS/gm)?.length ?? 0} checks passed; ${ending.message}`);
  for (const { id, counters } of statistics?.devices ?? []) console.log(id, counters);
  Deno.exitCode = ending.exitCode;
} finally {
  await Deno.remove(image);
}
