/**
 * Paths and `file:` URLs, without a library that would delay every start.
 *
 * @module
 */

const ABSOLUTE = /^\//;

/** The URL of a file: an absolute path, or one relative to a directory. */
export function fileUrl(path: string, directory: string = Deno.cwd()): URL {
  const encode = (text: string) => encodeURI(text).replace(/[?#]/g, encodeURIComponent);
  const base = new URL(`file://${encode(directory)}/`);
  return new URL(ABSOLUTE.test(path) ? `file://${encode(path)}` : `./${encode(path)}`, base);
}

/** The path of a `file:` URL. */
export function filePath(url: URL): string {
  return decodeURIComponent(url.pathname);
}

/** An absolute path without `.` and `..`. */
export function absolutePath(path: string, directory: string = Deno.cwd()): string {
  return filePath(fileUrl(path, directory));
}
