//! `/recipe/{uuid}`: what a recipe is made of.

use axum::extract::{Path, State};
use sinfonia_core::recipe::Recipe;
use sinfonia_service::deploy_path::parse_uuid;
use sinfonia_service::json::Json;
use sinfonia_service::problem::Problem;
use sinfonia_service::recipes::RecipeRepository;

/// `GET`: the recipe, unless it is restricted.
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
