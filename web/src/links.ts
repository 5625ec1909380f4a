/** Finds the web addresses in a text. */

const ADDRESS = /https?:\/\/[^\s<>"]+/gi;

export interface Piece {
  readonly text: string;
  readonly isLink: boolean;
}

/** The text in pieces, which together are all of it. What ends a sentence does not belong to an address. */
export function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = trimmed(match[0]);
    if (!URL.canParse(address)) continue;
    if (match.index > end) pieces.push({ text: text.slice(end, match.index), isLink: false });
    pieces.push({ text: address, isLink: true });
    end = match.index + address.length;
  }
  if (end < text.length) pieces.push({ text: text.slice(end), isLink: false });
  return pieces;
}

function trimmed(address: string): string {
  const shorter = address.replace(/[.,;:!?'”»]+$/, "");
  const isOpen = shorter.split("(").length < shorter.split(")").length;
  return isOpen && shorter.endsWith(")") ? trimmed(shorter.slice(0, -1)) : shorter;
}
