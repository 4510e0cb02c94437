/**
 * Runs jobs in isolates of their own, at the same time.
 *
 * @module
 */
import type { Job } from "./together_worker.ts";

/**
 * Runs each job in a Worker. They begin together.
 *
 * @returns What each job returned.
 */
export async function runTogether(...jobs: readonly Job[]): Promise<number[]> {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  return await Promise.all(jobs.map((job) =>
    new Promise<number>((resolve, reject) => {
      const worker = new Worker(import.meta.resolve("./together_worker.ts"), { type: "module" });
      worker.onmessage = ({ data }) => {
        worker.terminate();
        resolve(data);
      };
      worker.onerror = (event) => {
        event.preventDefault();
        worker.terminate();
        reject(new Error(event.message));
      };
      worker.postMessage({ job, gate: gate.buffer, count: jobs.length });
    })
  ));
}
