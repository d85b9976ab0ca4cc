//! Finds the variables of a parsed expression, names them by their places in a list, and refuses what is not part of the language here.

use cel::common::ast::{CallExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators};

use super::super::fault::Fault;
use super::super::variable::{DOCUMENTED, Group, Path, Variable};
use super::Places;

/// Operators that mean the same as in CEL.
const OPERATORS: [&str; 16] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::NEGATE,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
];

/// Functions that are called as `size(x)`, and those called as `x.size()`.
const FUNCTIONS: [&str; 4] = ["double", "int", "size", "string"];
const METHODS: [&str; 4] = ["contains", "endsWith", "size", "startsWith"];

/// Macros of CEL that go through lists and maps.
const MACROS: [&str; 5] = [
    operators::ALL,
    operators::EXISTS,
    operators::EXISTS_ONE,
    operators::FILTER,
    operators::MAP,
];

pub(super) struct Rewriter<'a> {
    pub(super) places: Places<'a>,
    /// The variables that were found, in the order of their numbers.
    pub(super) variables: Vec<Variable>,
}

impl<'a> Rewriter<'a> {
    pub(super) const fn new(places: Places<'a>) -> Self {
        Self {
            places,
            variables: Vec::new(),
        }
    }

    /// The same expression with a number in place of each variable.
    pub(super) fn rewrite(&mut self, part: &IdedExpr) -> Result<IdedExpr, Fault> {
        if let Some(path) = self.path(part)? {
            return match path {
                Path::Variable(variable) => Ok(self.number(part, variable)),
                Path::Group(group) => {
                    let message = format!("`{}` is not a value", self.written(part));
                    Err(self
                        .places
                        .fault(part, message, format!("write {}", group.example())))
                }
                Path::Unknown => {
                    let message = format!("there is no variable `{}`", self.written(part));
                    Err(self.places.fault(part, message, DOCUMENTED))
                }
            };
        }
        let (message, hint) = match &part.expr {
            Expr::Call(call) => return self.call(part, call),
            Expr::Literal(LiteralValue::UInt(number)) => {
                let hint = format!("write {}.0", number.inner());
                return Err(self.places.fault(part, "all numbers are doubles", hint));
            }
            Expr::Literal(LiteralValue::Null) => (
                "nothing is ever null here",
                "has(x) tells whether x is known",
            ),
            Expr::Literal(LiteralValue::Bytes(_)) => {
                ("no value here is bytes", "write text without `b`")
            }
            Expr::Literal(_) => return Ok(part.clone()),
            Expr::List(_) => (
                "a list stands behind `in` only",
                "write cloudlet.labels.region in [\"eu\", \"us\"]",
            ),
            Expr::Select(_) => (
                "only cloudlet, resources and client have fields",
                DOCUMENTED,
            ),
            _ => (
                "maps and messages are not used here",
                "write conditions and numbers",
            ),
        };
        Err(self.places.fault(part, message, hint))
    }

    fn call(&mut self, part: &IdedExpr, call: &CallExpr) -> Result<IdedExpr, Fault> {
        let name = call.func_name.as_str();
        match (name, &call.target, call.args.as_slice()) {
            (operators::HAS, None, [arg]) => return self.has(part, arg),
            (operators::IN, None, [item, container]) => {
                return self.contained(part, item, container);
            }
            (_, None, _) if OPERATORS.contains(&name) || FUNCTIONS.contains(&name) => {}
            (_, Some(_), _) if METHODS.contains(&name) => {}
            _ => return Err(self.unknown_function(part, name)),
        }
        let target = call
            .target
            .as_deref()
            .map(|target| self.rewrite(target).map(Box::new));
        Ok(IdedExpr {
            id: part.id,
            expr: Expr::Call(CallExpr {
                func_name: name.to_owned(),
                target: target.transpose()?,
                args: self.rewrite_all(&call.args)?,
            }),
        })
    }

    fn rewrite_all(&mut self, parts: &[IdedExpr]) -> Result<Vec<IdedExpr>, Fault> {
        parts.iter().map(|part| self.rewrite(part)).collect()
    }

    /// `has(x)`: whether a variable, or what is below a group, is known.
    fn has(&mut self, part: &IdedExpr, arg: &IdedExpr) -> Result<IdedExpr, Fault> {
        let known = match self.path(arg)? {
            Some(Path::Variable(variable)) => Some(variable),
            Some(Path::Group(group)) => group.witness(),
            Some(Path::Unknown) | None => None,
        };
        let Some(variable) = known else {
            let hint = "write has(resources.gpu_ratio), has(cloudlet.labels.region), has(cloudlet.location) or has(rtt_ms)";
            return Err(self
                .places
                .fault(part, "has() asks whether a variable is known", hint));
        };
        Ok(self.number(part, Variable::Known(Box::new(variable))))
    }

    /// `x in […]`, and `"name" in` what has names.
    fn contained(
        &mut self,
        part: &IdedExpr,
        item: &IdedExpr,
        container: &IdedExpr,
    ) -> Result<IdedExpr, Fault> {
        match (self.path(container)?, &container.expr) {
            (Some(Path::Group(group)), _) if group.is_open() => self.named(part, item, group),
            (None, Expr::List(list)) => {
                let list = ListExpr::new(self.rewrite_all(&list.elements)?);
                let list = IdedExpr {
                    id: container.id,
                    expr: Expr::List(list),
                };
                Ok(IdedExpr {
                    id: part.id,
                    expr: Expr::Call(CallExpr {
                        func_name: operators::IN.to_owned(),
                        target: None,
                        args: vec![self.rewrite(item)?, list],
                    }),
                })
            }
            _ => {
                let hint = "write cloudlet.labels.region in [\"eu\", \"us\"]";
                Err(self.places.fault(
                    container,
                    "`in` looks into a list, cloudlet.labels or resources",
                    hint,
                ))
            }
        }
    }

    fn named(&mut self, part: &IdedExpr, item: &IdedExpr, group: Group) -> Result<IdedExpr, Fault> {
        match literal_text(item).map(|name| group.field(name)) {
            Some(Path::Variable(variable)) => {
                Ok(self.number(part, Variable::Known(Box::new(variable))))
            }
            _ => Err(self.places.fault(
                item,
                "`in` wants a name in quotes here",
                format!("write {}", group.example()),
            )),
        }
    }

    /// What a part means if it is a name with fields; `None` where it is something else.
    fn path(&self, part: &IdedExpr) -> Result<Option<Path>, Fault> {
        let (operand, field) = match &part.expr {
            Expr::Ident(name) => return Ok(Some(Path::root(name))),
            Expr::Select(select) => (select.operand.as_ref(), Some(select.field.as_str())),
            Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
                [operand, index] => (operand, literal_text(index)),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let is_index = matches!(part.expr, Expr::Call(_));
        match (self.path(operand)?, field) {
            (Some(Path::Unknown), _) => Ok(Some(Path::Unknown)),
            (Some(Path::Group(group)), Some(field)) if group.is_open() || !is_index => {
                Ok(Some(group.field(field)))
            }
            (Some(Path::Variable(variable)), _) => {
                Err(self
                    .places
                    .fault(part, format!("`{variable}` has no fields"), DOCUMENTED))
            }
            (None, _) if !is_index => Ok(None),
            (Some(Path::Group(_)) | None, _) => {
                let hint =
                    "write cloudlet.labels[\"NAME\"] or resources[\"NAME\"], the name in quotes";
                Err(self.places.fault(
                    part,
                    "an index is the name of a label or a measurement",
                    hint,
                ))
            }
        }
    }

    /// The number that stands for a variable, in place of what was written.
    fn number(&mut self, part: &IdedExpr, variable: Variable) -> IdedExpr {
        self.places
            .variables
            .insert(part.id, self.places.span(part));
        let known = self.variables.iter().position(|known| *known == variable);
        let number = known.unwrap_or_else(|| {
            self.variables.push(variable);
            self.variables.len() - 1
        });
        IdedExpr {
            id: part.id,
            expr: Expr::Ident(number.to_string()),
        }
    }

    fn unknown_function(&self, part: &IdedExpr, name: &str) -> Fault {
        if MACROS.contains(&name) {
            let message = format!(
                "`{name}` is refused: what an expression costs must not depend on the length of lists"
            );
            return self.places.fault(
                part,
                message,
                "write each condition, or use `in` for a list of values",
            );
        }
        let (functions, methods) = (FUNCTIONS.join("(), "), METHODS.join("(), ."));
        let hint = format!("there are has(x), {functions}() and .{methods}()");
        self.places.fault(
            part,
            format!("there is no function `{name}` of this form"),
            hint,
        )
    }

    /// A part as it stands in the text.
    fn written(&self, part: &IdedExpr) -> String {
        let span = self.places.span(part);
        self.places
            .text
            .chars()
            .skip(span.start)
            .take(span.len())
            .collect()
    }
}

fn literal_text(part: &IdedExpr) -> Option<&str> {
    match &part.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
