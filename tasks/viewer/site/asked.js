// What a vision-language critic was sent about a group: words and pictures in their order, memory, options, whole answer.

import { ask, choice, h, number, pretty, whole } from "./dom.js";

/** A fold that is filled when it is first opened. */
export function asked({ where, gen, id, critic }) {
  const place = `/api/asked/${where}/${encodeURIComponent(gen)}/${encodeURIComponent(id)}?critic=${encodeURIComponent(critic)}`;
  const out = h("div", { class: "asked" });
  const fold = h("details", { class: "request", ontoggle: () => fold.open && !out.childNodes.length && fill(0) }, h("summary", {}, `The request, pictures and all, as ${critic} was sent it`), out);

  async function fill(which) {
    out.replaceChildren(h("p", { class: "soft" }, "Its pictures are drawn …"));
    try {
      out.replaceChildren(...shown(await ask(`${place}&number=${which}`), place, fill));
    } catch (error) {
      out.replaceChildren(h("p", { role: "alert" }, error.message));
    }
  }
  return fold;
}

function shown(found, place, fill) {
  const names = (order) => order.map((k) => `#${k + 1}`).join(", ");
  const numbers = Array.from({ length: found.count }, (unused, k) => [String(k), `${k + 1} of ${found.count}`]);
  return [
    h("p", { class: found.proved ? "proof" : "proof open" }, found.proved
      ? "Proved: the answer below is kept under the digest of exactly this request."
      : "Not proved: made anew from the critic's record, but no answer is kept under its digest. Pictures drawn with other settings, or a server that answered elsewhere, may be why."),
    h("div", { class: "toolbar" }, found.count > 1 ? choice("Request", numbers, String(found.number), (which) => fill(Number(which))) : null,
      h("span", { class: "soft" }, `image_2, image_3, … are ${names(found.order)}`),
      h("a", { class: "button", href: `${place}&number=${found.number}&file=1`, download: `request_${found.number + 1}.json` }, `Download the body, ${number(found.bytes / 1e6, 2)} MB`)),
    ...memory(found.memory),
    h("h4", {}, "Messages"), ...found.messages.flatMap((message) => parts(message.parts)),
    h("h4", {}, "Options"), h("pre", { tabIndex: 0 }, JSON.stringify(found.options, null, 1)),
    ...(found.answer === null ? [] : [h("h4", {}, `The server's whole answer, ${whole(found.answer.length)} characters`), h("pre", { tabIndex: 0 }, pretty(found.answer))]),
  ];
}

/** Rules and prototypes that the request shows. */
function memory({ rules, prototypes }) {
  return [
    ...(rules.length ? [h("h4", {}, "Rules that it shows"), h("ul", { class: "rules" }, rules.map((rule) => h("li", {}, rule.text, " ", h("code", {}, rule.id), h("span", { class: "soft" }, ` ${rule.tags.join(", ")}`))))] : []),
    ...(prototypes.length ? [h("h4", {}, "Prototypes that it shows"), h("div", { class: "sent" }, prototypes.map((one) => h("figure", {},
      one.picture ? h("img", { src: one.picture, alt: `prototype ${one.id}` }) : null,
      h("figcaption", {}, h("b", {}, one.score === null ? one.id : `${number(one.score, 0)} points`), ` ${one.rationale} `, h("span", { class: "soft" }, [one.overlay, ...one.tags].filter(Boolean).join(", "))))))] : []),
  ];
}

/** Text as it stands; pictures after one another in rows, each under the label that the request gives it. */
function parts(all) {
  const made = [];
  let row = null, label = "", count = 0;
  for (const [k, part] of all.entries()) {
    if (part.picture) {
      count += 1;
      row ??= made[made.push(h("div", { class: "sent" })) - 1];
      const ending = /^data:image\/(\w+)/.exec(part.picture)[1].replace("jpeg", "jpg");
      row.append(h("figure", {}, h("a", { href: part.picture, download: `picture_${count}.${ending}` }, h("img", { src: part.picture, alt: label || `picture ${count}` })), h("figcaption", {}, label || `picture ${count}`)));
      label = "";
    } else if (all[k + 1]?.picture && /^image_\d+/.test(part.text)) label = part.text;
    else {
      row = null;
      made.push(h("pre", { tabIndex: 0 }, part.text));
    }
  }
  return made;
}
