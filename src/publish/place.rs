//! Where a command works: as typed, or as an AssetStore of a cluster says.

use super::cluster::Cluster;
use super::{BucketUrl, Failure, Target};
use crate::bucket::s3::Credentials;
use crate::cli::{ClusterArgs, PublishArgs, StoreArgs};

/// Of `rollcall publish`.
pub(super) async fn of_publish(args: &PublishArgs, cluster: Option<&Cluster>) -> Result<Target, Failure> {
    let incomplete = Failure::Incomplete("say where to: --to s3://BUCKET/PREFIX/, or --store with --prefix or --apply");
    let (Some(cluster), Some(name)) = (cluster, &args.cluster.store) else {
        return Ok(Target::typed(args.to.as_ref().ok_or(incomplete)?, &args.store));
    };
    let prefix = match (&args.cluster.prefix, &args.apply) {
        (Some(prefix), _) => prefix.0.clone(),
        (None, Some(release)) => cluster.release(release).await?.spec.prefix,
        (None, None) => return Err(incomplete),
    };
    of_asset_store(cluster, name, &prefix, &args.store).await
}

/// Of a command of `rollcall store`; `--store` without `--prefix` means all of that store.
///
/// # Errors
/// When what is typed does not say where, or the cluster does not answer.
pub async fn of_store(to: Option<&BucketUrl>, cluster: &ClusterArgs, store: &StoreArgs) -> Result<Target, Failure> {
    match (to, &cluster.store) {
        (Some(to), None) => Ok(Target::typed(to, store)),
        (None, Some(name)) => {
            let prefix = cluster.prefix.as_ref().map_or("", |prefix| &prefix.0);
            of_asset_store(&Cluster::connect(cluster).await?, name, prefix, store).await
        }
        _ => Err(Failure::Incomplete("say where: --to s3://BUCKET/PREFIX/, or --store")),
    }
}

/// The replicas of the store that is named, for a command that has to do the same there; none for a bucket that is typed.
///
/// # Errors
/// When the cluster does not answer, or does not say how one of them is reached.
pub async fn replicas_of_store(cluster: &ClusterArgs, store: &StoreArgs) -> Result<Vec<Target>, Failure> {
    let Some(name) = &cluster.store else { return Ok(Vec::new()) };
    let prefix = cluster.prefix.as_ref().map_or("", |prefix| &prefix.0);
    let cluster = Cluster::connect(cluster).await?;
    cluster.replicas(&cluster.store(name).await?, prefix, store).await
}

async fn of_asset_store(cluster: &Cluster, name: &str, prefix: &str, typed: &StoreArgs) -> Result<Target, Failure> {
    let store = cluster.store(name).await?;
    let mut bucket = store.spec.bucket.clone();
    if typed.endpoint.is_some() {
        // Of this the person has decided, not the AssetStore.
        bucket.endpoint = None;
    }
    let settings = cluster.settings(&bucket, store.spec.credentials.as_ref(), typed.profile.clone().map(Credentials::Profile)).await?;
    Ok(Target::of_store(&store.spec, prefix, settings, typed))
}
