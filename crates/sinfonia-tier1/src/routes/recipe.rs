//! `/recipe/{uuid}`: what a recipe is made of.

use axum::extract::{Path, State};
use sinfonia_core::recipe::Recipe;
use sinfonia_service::deploy_path::parse_uuid;
use sinfonia_service::json::Json;
use sinfonia_service::problem::Problem;
use sinfonia_service::recipes::RecipeRepository;

/// `GET`: the recipe, unless it is restricted.
#[utoipa::path(
    get,
    path = "/api/v1/recipe/{uuid}/",
    operation_id = "recipe",
    tag = "Recipes",
    summary = "Shows a recipe that is not restricted",
    params(("uuid" = String, Path)),
    responses(
        (status = 200, description = "The recipe", body = ref("#/components/schemas/Recipe")),
        (status = 403, description = "The recipe is restricted"),
        (status = 404, description = "There is no such recipe"),
        (status = 503, description = "The recipe cannot be read at present, or too many requests are running"),
    ),
)]
pub(super) async fn recipe(
    State(recipes): State<RecipeRepository>,
    Path(uuid): Path<String>,
) -> Result<Json<Recipe>, Problem> {
    // What is no uuid names no recipe.
    let uuid = parse_uuid(&uuid)
        .map_err(|_| Problem::not_found("recipes are named by uuids; this is none"))?;
    let recipe = recipes.get(uuid).await?;
    if recipe.restricted {
        return Err(Problem::forbidden(format_args!(
            "recipe {uuid} is restricted"
        )));
    }
    Ok(Json(Recipe::clone(&recipe)))
}
