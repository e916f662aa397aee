declare module 'docker-parse-image' {
  interface ParsedImage {
    readonly registry: string | null;
    readonly namespace: string | null;
    readonly repository: string;
    readonly tag: string | null;
    readonly name: string;
    readonly fullname: string;
  }
  function parse(image: string): ParsedImage | null;
  export = parse;
}
