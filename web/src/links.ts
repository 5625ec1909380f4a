/** Finds the web links in a text. */

const URL_PATTERN = /https?:\/\/[^\s<>"]+/gi;

export interface TextPart {
  readonly text: string;
  readonly isLink: boolean;
}

/** Splits a text into links and the text between them. Trailing punctuation does not belong to a link. */
export function splitLinks(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  for (const match of text.matchAll(URL_PATTERN)) {
    const url = trimPunctuation(match[0]);
    if (!URL.canParse(url)) continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index), isLink: false });
    parts.push({ text: url, isLink: true });
    end = match.index + url.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end), isLink: false });
  return parts;
}

function trimPunctuation(url: string): string {
  const shorter = url.replace(/[.,;:!?'”»]+$/, "");
  const hasUnopenedBracket = shorter.split("(").length < shorter.split(")").length;
  return hasUnopenedBracket && shorter.endsWith(")") ? trimPunctuation(shorter.slice(0, -1)) : shorter;
}
