/**
 * The least that any process with our isolates costs: two Workers that do nothing but say so. What a launch takes beyond this is
 * ours.
 *
 * @module
 */
const WORKERS = 2;
const began = performance.now();
const source = `data:application/javascript,${encodeURIComponent("onmessage = () => {}; postMessage(0);")}`;
await Promise.all(Array.from({ length: WORKERS }, () => {
  const started = Promise.withResolvers<void>();
  new Worker(source, { type: "module" }).onmessage = () => started.resolve();
  return started.promise;
}));
console.log(JSON.stringify({ firstOutput: performance.now() - began }));
await Deno.stdin.read(new Uint8Array(1));
// The Workers are still there, as those of a machine are while it runs; they end with the process.
Deno.exit(0);
