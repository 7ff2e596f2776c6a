#!/usr/bin/env python3
"""Generates C from the operation tables (src/ops/graph.def, src/tile/tile.def).

    opgen.py --graph FILE --tile FILE --out FOLDER    writes every generated file
    opgen.py --list-outputs                           their names, relative to FOLDER

The tables' format is described at the head of graph.def. Expressions are Python expressions (parsed with ast, never run): calls of
builders, names of operands, attributes and lets, numbers. Each call becomes one C statement, so that the generated code reads in order.
"""
import argparse
import ast
import os
import re
import sys

OUTPUTS = ["ops/graph_ops.h", "ops/graph_ops.c", "tile/tile_ops.h", "tile/tile_ops.c", "decompose/decompose_ops.c",
           "autograd/derive_ops.c", "tilewright/ops.h", "tilewright/places.h", "tensor/eager_ops.c",
           "operators.md"]
KINDS = {"int": "TW_ATTR_INT", "float": "TW_ATTR_FLOAT", "bool": "TW_ATTR_BOOL", "dtype": "TW_ATTR_DTYPE",
         "dims": "TW_ATTR_DIMS", "ints": "TW_ATTR_INTS", "enum": "TW_ATTR_ENUM", "text": "TW_ATTR_TEXT"}
LEVELS = {"structure": "TW_LEVEL_STRUCTURE", "composite": "TW_LEVEL_COMPOSITE", "primitive": "TW_LEVEL_PRIMITIVE"}
FLAGS = {"pure": "TW_OP_PURE", "commutative": "TW_OP_COMMUTATIVE", "terminator": "TW_OP_TERMINATOR",
         "alias": "TW_OP_ALIAS", "inplace": "TW_OP_IN_PLACE"}
PAD = "    "


class Attr:
    def __init__(self, name, kind, names):
        self.name, self.kind, self.names = name, kind, names


class Row:
    def __init__(self, name, operands, attrs, words, rule, doc, table):
        self.name, self.attrs, self.rule, self.doc, self.table = name, attrs, rule, doc, table
        self.variadic = bool(operands) and operands[-1].endswith("...")
        self.optional = sum(o.endswith("?") for o in operands)
        self.operands = [o.rstrip("?.") for o in operands]
        self.required = [not o.endswith("?") for o in operands]
        self.level = words.pop(0) if table == "graph" else "tile"
        self.klass = words.pop(0)
        self.results, self.regions, self.flags = 1, 0, []
        self.cost = {"pointwise": 1, "gather": 4}.get(self.klass, 0)
        for w in words:
            if w.startswith("results="):
                self.results = int(w[8:])
            elif w.startswith("cost="):
                self.cost = int(w[5:])
            elif w.startswith("regions="):
                self.regions = int(w[8:])
            elif w in FLAGS:
                self.flags.append(w)
            else:
                sys.exit(f"opgen: {name}: unknown flag '{w}'")
        self.lines = []  # (what, text): ("let a", expr), ("=", expr), ("d x", expr)

    @property
    def upper(self):
        return f"TW_{'G' if self.table == 'graph' else 'T'}_{self.name.upper()}"

    @property
    def builder(self):
        return f"tw_{'g' if self.table == 'graph' else 't'}_{self.name}"


def split_list(text):
    """Splits at commas outside parentheses."""
    parts, depth, last = [], 0, ""
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append(last.strip())
            last = ""
        else:
            last += c
    if last.strip():
        parts.append(last.strip())
    return parts


def parse_attrs(text):
    attrs = []
    for part in split_list(text):
        name, kind = (p.strip() for p in part.split(":", 1))
        m = re.fullmatch(r"enum\((.*)\)", kind)
        attrs.append(Attr(name, "enum" if m else kind, m.group(1).split() if m else []))
    return attrs


def parse(path, table):
    rows, row = [], None
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        line = line.rstrip("\n")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] == " ":
            m = re.match(r"\s+(let \w+|d \w+|)\s*=\s*(.*)", line)
            if not m or row is None:
                sys.exit(f"{path}:{number}: expected 'let NAME = ...', '= ...' or 'd OPERAND = ...'")
            row.lines.append((m.group(1) or "=", m.group(2).strip()))
            continue
        m = re.match(r"op\s+(\w+)\s*(\((.*?)\))?\s*(\{(.*?)\})?\s*:\s*(.*?)->\s*(\w+)\s*\|\s*(.*)", line)
        if not m:
            sys.exit(f"{path}:{number}: expected 'op NAME (operands) {{attributes}} : class flags -> rule | text'")
        row = Row(m.group(1), split_list(m.group(3) or ""), parse_attrs(m.group(5) or ""), m.group(6).split(), m.group(7),
                  m.group(8), table)
        rows.append(row)
    return rows


# ---- tables and builders

def attr_parameter(a):
    return {"int": f"int64_t {a.name}", "float": f"double {a.name}", "bool": f"bool {a.name}", "dtype": f"tw_dtype {a.name}",
            "enum": f"int {a.name}", "text": f"const char *{a.name}"}.get(a.kind, f"int {a.name}_count, const int64_t *{a.name}")


def parameters(row, value="tw_value *"):
    out = []
    for i, o in enumerate(row.operands):
        last = row.variadic and i == len(row.operands) - 1
        out.append(f"int {o}_count, {value}const *{o}" if last else f"{value}{o}")
    return out + [attr_parameter(a) for a in row.attrs]


def attr_value(a):
    if a.kind in ("float", "text"):
        return f"{{.{a.kind[0] if a.kind == 'float' else 'text'} = {a.name}}}"
    if a.kind in ("dims", "ints"):
        return f"{{.dims = {{{a.name}, {a.name}_count}}}}"
    return f"{{.i = {a.name}}}"


def single(row):
    return row.results == 1 and row.regions == 0


def signature(row):
    return f"{'tw_value' if single(row) else 'tw_op'} *{row.builder}({', '.join(['tw_graph *g'] + parameters(row))})"


def has_builder(row):
    return row.name != "input" or row.table != "graph"


def header(rows, table, guard):
    out = [f"/* Generated by tools/opgen.py. */\n#ifndef {guard}\n#define {guard}\n\n#include \"ir/ir.h\"\n",
           f"extern const tw_op_table tw_{table}_table;\n", "enum {"]
    out += [f"{PAD}{r.upper}," for r in rows]
    out += [f"{PAD}TW_{'G' if table == 'graph' else 'T'}_COUNT\n}};\n"]
    for r in rows:
        for a in r.attrs:
            if a.kind == "enum":
                out.append(f"enum {{ {', '.join(f'{r.upper}_{n.upper()}' for n in a.names)} }};")
    out.append("\n/* Builders: append at the graph's insertion point; NULL when the type rule refuses or memory is exhausted. */")
    out += [f"{signature(r)};" for r in rows if has_builder(r)]
    return "\n".join(out) + "\n\n#endif\n"


def operand_array(row):
    """C lines that fill `operand`, and the count expression."""
    if not row.operands:
        return [], "0"
    fixed = row.operands[:-1] if row.variadic else row.operands
    if not row.variadic:
        return [f"{PAD}tw_value *const operand[] = {{{', '.join(fixed)}}};"], str(len(fixed))
    last = row.operands[-1]
    if not fixed:
        return [f"{PAD}tw_value *const *operand = {last};"], f"{last}_count"
    lines = [f"{PAD}enum {{ MOST = 64 }};", f"{PAD}tw_value *operand[MOST];",
             f"{PAD}if ({last}_count + {len(fixed)} > MOST)",
             f"{PAD}{PAD}return tw_error(TW_ERR_UNSUPPORTED, \"{row.name}: more than %d operands\", MOST), NULL;"]
    lines += [f"{PAD}operand[{i}] = {o};" for i, o in enumerate(fixed)]
    lines += [f"{PAD}for (int i = 0; i < {last}_count; i++)", f"{PAD}{PAD}operand[{len(fixed)} + i] = {last}[i];"]
    return lines, f"{last}_count + {len(fixed)}"


def builder(row):
    out = [signature(row), "{"]
    must = [o for o, r in zip(row.operands, row.required) if r and not (row.variadic and o == row.operands[-1])]
    if must:
        out += [f"{PAD}if ({' || '.join('!' + o for o in must)})", f"{PAD}{PAD}return NULL;"]
    lines, count = operand_array(row)
    out += lines
    attrs = "NULL"
    if row.attrs:
        out.append(f"{PAD}const tw_attr attrs[] = {{{', '.join(attr_value(a) for a in row.attrs)}}};")
        attrs = "attrs"
    call = f"tw_graph_add(g, {row.upper}, {count}, {'operand' if row.operands else 'NULL'}, {attrs})"
    if single(row):
        out += [f"{PAD}tw_op *op = {call};", f"{PAD}return op ? &op->result[0] : NULL;"]
    else:
        out.append(f"{PAD}return {call};")
    return "\n".join(out + ["}"]) + "\n"


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def table_source(rows, table, include, input_op, output_op):
    rules = sorted({r.rule for r in rows if r.rule != "none"})
    prefix = "tw_infer_" if table == "graph" else "tw_tile_infer_"
    out = [f"/* Generated by tools/opgen.py. */\n#include \"{include}\"\n"]
    out += [f"tw_infer_rule {prefix}{r};" for r in rules]
    for r in rows:
        for a in r.attrs:
            if a.kind == "enum":
                out.append(f"static const char *const names_{r.name}_{a.name}[] = "
                           f"{{{', '.join(quote(n) for n in a.names)}, NULL}};")
        if r.operands:
            out.append(f"static const char *const operands_{r.name}[] = {{{', '.join(quote(o) for o in r.operands)}}};")
        if r.attrs:
            items = ", ".join(f"{{{quote(a.name)}, {KINDS[a.kind]}, "
                              f"{'names_' + r.name + '_' + a.name if a.kind == 'enum' else 'NULL'}}}" for a in r.attrs)
            out.append(f"static const tw_attr_info attrs_{r.name}[] = {{{items}}};")
    out.append(f"\nstatic const tw_op_info ops[{len(rows)}] = {{")
    for r in rows:
        level = LEVELS[r.level] if table == "graph" else "TW_LEVEL_TILE"
        out.append(f"{PAD}[{r.upper}] = {{{quote(r.name)}, {quote(r.doc)}, {level}, TW_CLASS_{r.klass.upper()}, "
                   f"{len(r.operands)}, {r.optional}, {str(r.variadic).lower()}, {len(r.attrs)}, {r.results}, {r.regions}, {r.cost}, "
                   f"{' | '.join(FLAGS[f] for f in r.flags) or 0}, {'operands_' + r.name if r.operands else 'NULL'}, "
                   f"{'attrs_' + r.name if r.attrs else 'NULL'}, {prefix + r.rule if r.rule != 'none' else 'NULL'}}},")
    out.append("};\n")
    out.append(f"const tw_op_table tw_{table}_table = {{\"{table}\", ops, {len(rows)}, {input_op}, {output_op}}};\n")
    out += [builder(r) for r in rows if has_builder(r)]
    return "\n".join(out)


# ---- expressions

class Translator:
    """Turns the expressions of a row into C statements; every call gets a variable."""

    def __init__(self, row, rows, names):
        self.row, self.rows, self.lines, self.count = row, rows, [], 0
        self.names = dict(names)  # name in the expression -> C expression of a value
        self.used = set()

    def attr(self, name):
        for i, a in enumerate(self.row.attrs):
            if a.name == name:
                at = f"op->attr[{i}]"
                if a.kind in ("dims", "ints"):
                    return f"{at}.dims.n, {at}.dims.v"
                return {"float": f"{at}.f", "bool": f"({at}.i != 0)"}.get(a.kind, f"{at}.i")
        return None

    def number(self, node):
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            return repr(float(node.value))
        if isinstance(node, ast.Name) and node.id == "inf":
            return "(double)INFINITY"
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and self.number(node.operand):
            return "-" + self.number(node.operand)
        return None

    def raw(self, node):
        """An argument that isn't a tensor."""
        if isinstance(node, ast.List):
            items = [self.raw(e) for e in node.elts]
            return f"{len(items)}, (const int64_t[]){{{', '.join(items)}}}" if items else "0, NULL"
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return str(node.value).lower()
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return str(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return "!" + self.raw(node.operand)
        if isinstance(node, ast.Name) and node.id == "result":
            return "&op->result[0].type"
        if isinstance(node, ast.Name) and self.attr(node.id):
            return self.attr(node.id)
        if isinstance(node, ast.Call):
            return f"tw_g_{node.func.id}({', '.join(self.raw(a) for a in node.args)})"
        if self.number(node):
            return self.number(node)
        sys.exit(f"opgen: {self.row.name}: cannot translate {ast.dump(node)}")

    def value(self, node, like=None):
        if isinstance(node, ast.Name) and node.id in self.names:
            self.used.add(node.id)
            return self.names[node.id]
        if self.number(node):
            return self.store(f"tw_g_like(g, {like or self.names['']}, {self.number(node)})")
        if isinstance(node, ast.Call):
            return self.call(node)
        sys.exit(f"opgen: {self.row.name}: cannot translate {ast.dump(node)}")

    def store(self, text):
        name = f"t{self.count}"
        self.count += 1
        self.lines.append(f"{PAD}tw_value *{name} = {text};")
        return name

    def call(self, node):
        callee = self.rows.get(node.func.id)
        if callee is None:  # a helper of ops/build.h: tensors by name, the rest as it is
            arguments = []
            for a in node.args:
                tensor = (isinstance(a, ast.Name) and a.id in self.names) or (isinstance(a, ast.Call) and a.func.id not in
                                                                             ("inverse_keep",))
                if node.func.id == "sub_from" and a is node.args[0]:
                    tensor = False
                arguments.append(self.value(a) if tensor else self.raw(a))
            return self.store(f"tw_g_{node.func.id}({', '.join(['g'] + arguments)})")
        tensors = node.args[:len(callee.operands)]
        like = None
        built = [None] * len(tensors)
        for i, a in enumerate(tensors):  # numbers take the dtype of the first tensor beside them
            if self.number(a) is None:
                built[i] = self.value(a)
                if like is None and not (callee.name == "where" and i == 0):
                    like = built[i]
        for i, a in enumerate(tensors):
            if built[i] is None:
                built[i] = self.value(a, like)
        built += ["NULL"] * (len(callee.operands) - len(tensors))
        rest = [self.raw(a) for a in node.args[len(callee.operands):]]
        return self.store(f"{callee.builder}({', '.join(['g'] + built + rest)})")


def expression(text):
    return ast.parse(text, mode="eval").body


def lets_of(translator, row, upto):
    for what, text in row.lines[:upto]:
        if what.startswith("let "):
            translator.names[what[4:]] = translator.value(expression(text))


def decompositions(rows, by_name):
    out = ["/* Generated by tools/opgen.py: what each composite is made of. */\n#include <math.h>\n\n#include \"decompose/decompose.h\"\n"
           "#include \"ops/build.h\"\n"]
    table = []
    for r in rows:
        for i, (what, text) in enumerate(r.lines):
            if what != "=":
                continue
            table.append(f"{PAD}[{r.upper}] = tw_decompose_{r.name},")
            if text == "C":
                out.append(f"tw_decomposition tw_decompose_{r.name};\n")
                continue
            names = {o: f"op->operand[{k}]" for k, o in enumerate(r.operands)}
            names[""] = "op->operand[0]"
            t = Translator(r, by_name, names)
            lets_of(t, r, i)
            result = t.value(expression(text))
            out.append(f"static tw_value *tw_decompose_{r.name}(tw_graph *g, const tw_op *op)\n{{\n" + "\n".join(t.lines) +
                       f"\n{PAD}return {result};\n}}\n")
    out.append("tw_decomposition *const tw_decompositions[TW_G_COUNT] = {\n" + "\n".join(table) + "\n};\n")
    return "\n".join(out)


def derivatives(rows, by_name):
    out = ["/* Generated by tools/opgen.py: derivatives. */\n#include <math.h>\n\n#include \"autograd/rules.h\"\n#include \"ops/build.h\"\n"]
    table = []
    for r in rows:
        d = [(i, what[2:], text) for i, (what, text) in enumerate(r.lines) if what.startswith("d ")]
        if not d:
            continue
        if all(text.startswith("C") for _, _, text in d):  # C(x, y): written in C, reads the values of x and of the result
            reads = {n.strip() for _, _, text in d for n in text[1:].strip("()").split(",")}
            mask = sum(1 << k for k, o in enumerate(r.operands) if o in reads or (r.variadic and o in reads))
            out.append(f"tw_derivative tw_derive_{r.name};\n")
            table.append(f"{PAD}[{r.upper}] = {{tw_derive_{r.name}, {mask}u, {str('y' in reads).lower()}}},")
            continue
        body, used = [], set()
        for i, operand, text in d:
            names = {o: f"x[{k}]" for k, o in enumerate(r.operands)}
            names.update({"g": "grad", "y": "y", "": "grad"})
            t = Translator(r, by_name, names)
            start = max([k for k, (w, _) in enumerate(r.lines[:i]) if w == "="], default=-1)
            for w, let in r.lines[start + 1:i]:
                if w.startswith("let "):
                    t.names[w[4:]] = t.value(expression(let))
            if start < 0:
                pass
            k = r.operands.index(operand)
            result = t.value(expression(text))
            used |= t.used
            body.append(f"{PAD}if (needed >> {k} & 1) {{\n" + "\n".join(PAD + line for line in t.lines) +
                        f"\n{PAD}{PAD}if (!(out[{k}] = {result}))\n{PAD}{PAD}{PAD}return false;\n{PAD}}}")
        mask = sum(1 << k for k, o in enumerate(r.operands) if o in used)
        out.append(f"static bool tw_derive_{r.name}(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, "
                   f"uint32_t needed, tw_value **out)\n{{\n{PAD}(void)g, (void)op, (void)x, (void)y, (void)grad;\n" + "\n".join(body) +
                   f"\n{PAD}return true;\n}}\n")
        table.append(f"{PAD}[{r.upper}] = {{tw_derive_{r.name}, {mask}u, {str('y' in used).lower()}}},")
    out.append("const tw_derivative_row tw_derivatives[TW_G_COUNT] = {\n" + "\n".join(table) + "\n};\n")
    return "\n".join(out)


# ---- the eager interface and the reference page

def eager_name(row):
    return f"tw_{row.name}"


def is_eager(row):
    return row.level != "structure"


def eager_signature(row):
    return f"tw_tensor *{eager_name(row)}({', '.join(parameters(row, 'tw_tensor *')) or 'void'})"


def in_place_signature(row):
    return f"tw_status {eager_name(row)}_({', '.join(parameters(row, 'tw_tensor *'))})"


def eager_header(rows):
    out = ["/* Generated by tools/opgen.py: the operations on tensors. Lists (shapes, axes) are given as count and array.\n"
           " * Each returns a new tensor that belongs to the open scope, or one that carries the error (tw_tensor_status). */\n"
           "#ifndef TILEWRIGHT_OPS_H\n#define TILEWRIGHT_OPS_H\n\n#include \"tilewright/tensor.h\"\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n"]
    for r in rows:
        if is_eager(r):
            out.append(f"/* {r.doc} */\nTW_API {eager_signature(r)};")
    out.append("\n/* ---- in place: the first operand gets the result (of its shape, in its dtype) ---- */")
    out += [f"TW_API {in_place_signature(r)};" for r in rows if "inplace" in r.flags]
    return "\n".join(out) + "\n\n#ifdef __cplusplus\n}\n#endif\n#endif\n"


def places_header(rows):
    """Every call of an operation, with the place where it stands."""
    out = ["/* Generated by tools/opgen.py: include it after the other headers, and the errors of operations say where in your\n"
           " * program the call stands: \"matmul: ... (at model.c:12)\". The functions stay functions: their addresses may be taken. */\n"
           "#ifndef TILEWRIGHT_PLACES_H\n#define TILEWRIGHT_PLACES_H\n\n#include \"tilewright/ops.h\"\n"]
    for r in rows:
        if is_eager(r):
            name = eager_name(r)
            out.append(f"#define {name}(...) tw_located(({name})(__VA_ARGS__), __FILE__, __LINE__)")
            if "inplace" in r.flags:
                out.append(f"#define {name}_(...) tw_located_status(({name}_)(__VA_ARGS__), __FILE__, __LINE__)")
    return "\n".join(out) + "\n\n#endif\n"


def eager_source(rows):
    out = ["/* Generated by tools/opgen.py: every eager call records one operation. */\n#include \"tensor/record.h\"\n"
           "#include \"tilewright/ops.h\"\n#include \"ops/graph_ops.h\"\n"]
    for r in rows:
        if not is_eager(r):
            continue
        body = []
        if r.variadic:
            operand, count = r.operands[-1], f"{r.operands[-1]}_count"
        elif r.operands:
            body.append(f"{PAD}tw_tensor *const operand[] = {{{', '.join(r.operands)}}};")
            operand, count = "operand", str(len(r.operands))
        else:
            operand, count = "NULL", "0"
        if r.attrs:
            body.append(f"{PAD}const tw_attr attrs[] = {{{', '.join(attr_value(a) for a in r.attrs)}}};")
        arguments = f"({r.upper}, {count}, {operand}, {'attrs' if r.attrs else 'NULL'});"
        out.append("\n".join([eager_signature(r), "{"] + body + [f"{PAD}return tw_record{arguments}", "}", ""]))
        if "inplace" in r.flags:
            out.append("\n".join([in_place_signature(r), "{"] + body + [f"{PAD}return tw_record_in_place{arguments}", "}", ""]))
    return "\n".join(out)


def reference_page(graph, tile):
    out = ["# Operations\n", "Generated from `src/ops/graph.def` and `src/tile/tile.def` by `make docs`.\n"]
    for title, rows in (("Composites", [r for r in graph if r.level == "composite"]),
                        ("Primitives", [r for r in graph if r.level == "primitive"]), ("Tile operations", tile)):
        out += [f"## {title} ({len(rows)})\n", "| operation | attributes | what it is | derivative |", "|---|---|---|---|"]
        for r in rows:
            operands = ", ".join(o + ("" if q else "?") for o, q in zip(r.operands, r.required)) + ("..." if r.variadic else "")
            attrs = ", ".join(f"{a.name}: {a.kind}" for a in r.attrs)
            has = "yes" if any(w.startswith("d ") for w, _ in r.lines) else "by its parts" if r.level == "composite" else ""
            out.append(f"| `{r.name}({operands})` | {attrs} | {r.doc.replace('|', chr(92) + '|')} | {has} |")
        out.append("")
    return "\n".join(out)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--graph")
    p.add_argument("--tile")
    p.add_argument("--out")
    p.add_argument("--flat", help="also a copy of each file in this folder, by its last name (for meson)")
    p.add_argument("--list-outputs", action="store_true")
    a = p.parse_args()
    if a.list_outputs:
        print("\n".join(OUTPUTS))
        return
    graph, tile = parse(a.graph, "graph"), parse(a.tile, "tile")
    by_name = {r.name: r for r in graph}
    texts = [header(graph, "graph", "TW_GRAPH_OPS_H"),
             table_source(graph, "graph", "ops/graph_ops.h", "TW_G_INPUT", "TW_G_OUTPUT"),
             header(tile, "tile", "TW_TILE_OPS_H"), table_source(tile, "tile", "tile/tile_ops.h", "TW_T_ARG", "-1"),
             decompositions(graph, by_name), derivatives(graph, by_name), eager_header(graph), places_header(graph),
             eager_source(graph),
             reference_page(graph, tile)]
    for name, text in zip(OUTPUTS, texts):
        path = os.path.join(a.out, name)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        paths = [path] + ([os.path.join(a.flat, os.path.basename(name))] if a.flat else [])
        for target in paths:
            with open(target, "w", encoding="utf-8") as f:
                f.write(text)


if __name__ == "__main__":
    main()
