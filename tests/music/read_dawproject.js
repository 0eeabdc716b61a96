// Prints a project.xml as OpenDAW's library reads it: tracks, clips, tempo, time signatures.
import { DOMParser } from "linkedom";
import { ProjectSchema } from "@opendaw/lib-dawproject";
import { Xml } from "@opendaw/lib-xml";
import { readFileSync } from "node:fs";

globalThis.DOMParser = DOMParser;
console.log(JSON.stringify(Xml.parse(readFileSync(process.argv[2], "utf8"), ProjectSchema)));
