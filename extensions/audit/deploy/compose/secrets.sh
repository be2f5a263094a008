random AUDIT__KEY
